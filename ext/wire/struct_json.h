// google.protobuf.Struct as JSON.
#pragma once
#include "core/view.h"

namespace rl {

// Room for the fields of a Struct of so many bytes.
constexpr size_t struct_json_room(size_t bytes) { return 6 * bytes + 32; }

// Writes the members of several Structs, merged, as one object; of equal keys the last one counts. Well-formed, as
// ratelimitd/policy/protostruct.py makes them. What JSON has no number for is null.
char *write_structs_json(char *to, const rl_view *structs, uint32_t count);

}  // namespace rl
