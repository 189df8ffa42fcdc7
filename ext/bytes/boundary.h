// The boundary of a multipart Content-Type, as ModSecurity 3.0.15 finds it. Belongs to form_data.cc.
#pragma once
#include "core/view.h"

namespace rl {

// Finds the boundary; a view into content_type, empty when there is none. Sets flags (RL_FORM_DATA_*); *error says what
// is wrong, or stays as it is: an empty boundary is not even an error.
rl_view find_boundary(rl_view content_type, uint32_t *flags, const char **error);

}  // namespace rl
