#include <cstring>

#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

// ModSecurity's path reduction as a machine over bytes. It looks at the last byte of each segment: "." after "." is a
// back-reference (also in "a.."), "." after "/" or at the start a self-reference.
class PathReducer {
 public:
  // windows: a backslash is a slash too; then out must be in's own bytes, in which it is replaced.
  PathReducer(rl_view in, char *out, bool windows = false)
      : in_(in), out_(out), windows_(windows), relative_(!slash(0)), trailing_(slash(in.size - 1)) {}

  uint32_t run() {
    while (at_ < in_.size && step()) {
    }
    if (!trailing_ && size_ > 0 && out_[size_ - 1] == '/') --size_;
    return size_;
  }

 private:
  bool last() const { return at_ + 1 == in_.size; }
  bool slash(uint32_t at) const { return in_.data[at] == '/' || (windows_ && in_.data[at] == '\\'); }

  // Two bytes ahead only, so that the last of several backslashes stays one, as in ModSecurity.
  void convert_backslash() {
    for (uint32_t at = at_; at < in_.size && at <= at_ + 1; ++at) {
      if (in_.data[at] == '\\') out_[at] = '/';
    }
  }

  // One byte of input, or one reference. False: the input ended in a reference.
  bool step() {
    if (windows_) convert_backslash();
    bool segment_end = last() || in_.data[at_ + 1] == '/';
    if (segment_end && in_.data[at_] == '.') {
      if (!reference()) return false;
    } else if (segment_end && size_ > 0 && (last() || in_.data[at_] != '/')) {
      above_root_ = false;
    }
    copy();
    return true;
  }

  // Resolves a reference that ends at the "." here and moves to the slash behind it; a plain segment stays for copy().
  bool reference() {
    if (size_ > 0 && out_[size_ - 1] == '.') {
      if (relative_ && (above_root_ || size_ <= 2)) {
        above_root_ = true;  // nothing to go back to: "../" stays
        return true;
      }
      drop_segment();
    } else if (size_ > 0 && out_[size_ - 1] != '/') {
      return true;
    } else if (size_ > 0 && !last()) {
      --size_;
    }
    if (last()) return false;
    ++at_;
    return true;
  }

  void drop_segment() {
    uint32_t to = size_ > 3 ? size_ - 3 : 0;
    while (to > 0 && out_[to] != '/') --to;
    size_ = to;
    if (to > 0) return;
    above_root_ = true;
    if (!relative_ && last()) size_ = 1;  // the root's slash
  }

  void copy() {
    if (in_.data[at_] == '/') {
      while (!last() && slash(at_ + 1)) ++at_;
      if (relative_ && size_ == 0) {
        ++at_;
        return;
      }
    }
    out_[size_++] = in_.data[at_++];
  }

  rl_view in_;
  char *out_;
  bool windows_, relative_, trailing_;
  bool above_root_ = false;
  uint32_t at_ = 0, size_ = 0;
};

// A path is reduced only at "//" and where a segment ends in a dot.
bool is_reduced(rl_view in) {
  if (in.data[in.size - 1] == '.') return false;
  uint32_t i = 0;
  for (; in.size - i > sizeof(Block); i += sizeof(Block)) {
    Block block = load_block(in.data + i), next = load_block(in.data + i + 1);
    if (first_set((equals(block, '/') | equals(block, '.')) & equals(next, '/')) < sizeof(Block)) return false;
  }
  for (; i + 1 < in.size; ++i) {
    if (in.data[i + 1] == '/' && (in.data[i] == '/' || in.data[i] == '.')) return false;
  }
  return true;
}

}  // namespace

uint32_t normalize_path(rl_view in, char *out) {
  if (in.size == 0 || is_reduced(in)) return kUnchanged;
  return PathReducer(in, out).run();
}

uint32_t normalize_path_win(rl_view in, char *out) {
  if (in.size == 0) return kUnchanged;
  std::memcpy(out, in.data, in.size);
  return PathReducer({out, in.size}, out, true).run();
}

}  // namespace rl
