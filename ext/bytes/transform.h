// ModSecurity's transformations, byte for byte. One function for all: kind is plan.Transformation.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RL_TRANSFORMATIONS = 36 };

// Room that `out` must have for an input of size bytes.
uint32_t rl_transform_room(int kind, uint32_t size);
// Which classes of bytes a text has, as a bit set (the bits are in bytes/classes.h); and those without which a kind
// certainly leaves a text as it is. Every text has at least one class, also the empty one: length, md5 and sha1 change
// that too.
uint32_t rl_byte_classes(rl_view text);
uint32_t rl_transform_classes(int kind);
// Writes the transformed bytes to out and their length to *size. 1 when something changed, else 0 (then out need not be
// used). classes: those of in, which many texts are told by alone. in and out must not overlap.
int rl_transform(int kind, rl_view in, uint32_t classes, char *out, uint32_t *size);

#ifdef __cplusplus
}
#endif
