// Content-Disposition of a form-data part, as ModSecurity 3.0.15 takes it apart. Belongs to form_data.cc.
#pragma once
#include "core/view.h"

namespace rl {

// Told each name and filename as it is read, wanted or not.
struct DispositionSink {
  virtual void parameter(bool filename, rl_view value) = 0;
  virtual void invalid_quoting() = 0;

 protected:
  ~DispositionSink() = default;
};

// Reads a value that has no byte 0. Adds to *name and *filename, which a second reading of the same part finds set.
// Names with escapes are unescaped to *room (at most value.size bytes), which moves on. False when it is malformed.
bool read_disposition(rl_view value, char **room, rl_view *name, rl_view *filename, DispositionSink *sink);

}  // namespace rl
