#include "bytes/transforms.h"

namespace rl {
namespace {

// ModSecurity's path reduction as a machine over bytes. It looks at the last byte of each segment: "." after "." is a
// back-reference (also in "a.."), "." after "/" or at the start a self-reference.
class PathReducer {
 public:
  PathReducer(rl_view in, char *out) : in_(in), out_(out), relative_(in.data[0] != '/') {}

  uint32_t run() {
    while (at_ < in_.size && step()) {
    }
    bool trailing = in_.data[in_.size - 1] == '/';
    if (!trailing && size_ > 0 && out_[size_ - 1] == '/') --size_;
    return size_;
  }

 private:
  bool last() const { return at_ + 1 == in_.size; }

  // One byte of input, or one reference. False: the input ended in a reference.
  bool step() {
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
      while (!last() && in_.data[at_ + 1] == '/') ++at_;
      if (relative_ && size_ == 0) {
        ++at_;
        return;
      }
    }
    out_[size_++] = in_.data[at_++];
  }

  rl_view in_;
  char *out_;
  bool relative_;
  bool above_root_ = false;
  uint32_t at_ = 0, size_ = 0;
};

}  // namespace

uint32_t normalize_path(rl_view in, char *out) { return in.size == 0 ? 0 : PathReducer(in, out).run(); }

}  // namespace rl
