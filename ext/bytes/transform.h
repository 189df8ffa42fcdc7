// ModSecurity's transformations, byte for byte. One function for all: kind is plan.Transformation.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// Room that `out` must have for an input of size bytes, whatever the kind.
uint32_t rl_transform_room(uint32_t size);
// Writes the transformed bytes to out and their length to *size. 1 when something changed, else 0 (then out need not be used).
int rl_transform(int kind, rl_view in, char *out, uint32_t *size);

#ifdef __cplusplus
}
#endif
