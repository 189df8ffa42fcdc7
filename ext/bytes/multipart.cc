#include "bytes/multipart.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

rl_view view(const char *begin, const char *end) { return {begin, static_cast<uint32_t>(end - begin)}; }

bool equals_ignoring_case(rl_view text, const char *word) {
  if (std::strlen(word) != text.size) return false;
  for (uint32_t i = 0; i < text.size; ++i) {
    if (to_lower(text.data[i]) != word[i]) return false;
  }
  return true;
}

const char *find_line_end(const char *at, const char *end) {
  const void *found = at == end ? nullptr : std::memchr(at, '\n', static_cast<size_t>(end - at));
  return found ? static_cast<const char *>(found) : end;
}

bool all_space(const char *at, const char *end) {
  while (at != end && is_space(*at)) ++at;
  return at == end;
}

bool is_identity(rl_view encoding) {
  const char *begin = encoding.data, *end = encoding.data + encoding.size;
  while (begin != end && is_space(*begin)) ++begin;
  while (begin != end && is_space(end[-1])) --end;
  rl_view word = view(begin, end);
  return equals_ignoring_case(word, "binary") || equals_ignoring_case(word, "8bit") ||
         equals_ignoring_case(word, "7bit");
}

// The parameters of a header value: "; name=value", values as tokens or quoted. Line folds count as blanks.
class Parameters {
 public:
  // Begins behind the first word of the value.
  explicit Parameters(rl_view value) : at_(value.data), end_(value.data + value.size) { skip_to_semicolon(); }

  bool next(rl_view *name, rl_view *value) {
    while (at_ != end_ && (*at_ == ';' || is_space(*at_))) ++at_;
    if (at_ == end_) return false;
    const char *begin = at_;
    while (at_ != end_ && *at_ != '=' && *at_ != ';' && !is_space(*at_)) ++at_;
    *name = view(begin, at_);
    while (at_ != end_ && is_space(*at_)) ++at_;
    *value = view(at_, at_);
    if (at_ == end_ || *at_ != '=') return true;
    ++at_;
    while (at_ != end_ && is_space(*at_)) ++at_;
    *value = at_ != end_ && *at_ == '"' ? quoted() : token();
    return true;
  }

 private:
  void skip_to_semicolon() {
    while (at_ != end_ && *at_ != ';') ++at_;
  }

  rl_view quoted() {
    const char *begin = ++at_;
    while (at_ != end_ && *at_ != '"') at_ += *at_ == '\\' && end_ - at_ > 1 ? 2 : 1;
    rl_view text = view(begin, at_);
    skip_to_semicolon();
    return text;
  }

  rl_view token() {
    const char *begin = at_;
    while (at_ != end_ && *at_ != ';' && !is_space(*at_)) ++at_;
    return view(begin, at_);
  }

  const char *at_, *end_;
};

class MultipartReader {
 public:
  explicit MultipartReader(rl_multipart *self)
      : self_(*self), begin_(self->body.data), end_(self->body.data + self->body.size) {}

  int next(rl_part *part) {
    *part = {};
    const char *start = begin_ + self_.at, *after;
    if (!self_.started) {
      self_.started = 1;
      const char *delimiter = find_delimiter(start, true, &after);
      if (!delimiter) return -1;
      if (!all_space(start, delimiter)) self_.doubtful = 1;
      self_.at = static_cast<uint32_t>(after - begin_);
      start = after;
    }
    int end = skip_delimiter_tail(&start);
    if (end <= 0) return end;
    const char *content = read_headers(start, part);
    if (!content) return -1;
    // The blank line's own end may be the one in front of a delimiter: an empty part.
    const char *delimiter = find_delimiter(content - 1, false, &after);
    if (!delimiter) return -1;
    part->content = view(content, delimiter < content ? content : delimiter);
    self_.at = static_cast<uint32_t>(after - begin_);
    return 1;
  }

 private:
  // "--boundary" at the start of a line from `at`; the line end in front of it belongs to it. *after is behind the
  // boundary.
  const char *find_delimiter(const char *at, bool at_line_start, const char **after) {
    const size_t size = self_.boundary.size;
    while (end_ - at >= 2) {
      if (!at_line_start) {
        at = find_line_end(at, end_);
        if (at == end_) return nullptr;
        ++at;
      }
      at_line_start = false;
      if (static_cast<size_t>(end_ - at) < size + 2 || at[0] != '-' || at[1] != '-') continue;
      if (std::memcmp(at + 2, self_.boundary.data, size) != 0) continue;
      if (!ends_delimiter(at + 2 + size)) {
        self_.doubtful = 1;
        continue;
      }
      *after = at + 2 + size;
      return line_end_before(at);
    }
    return nullptr;
  }

  bool ends_delimiter(const char *at) const {
    return at == end_ || is_space(*at) || (end_ - at >= 2 && at[0] == '-' && at[1] == '-');
  }

  const char *line_end_before(const char *at) {
    if (at == begin_) return at;
    --at;
    if (at > begin_ && at[-1] == '\r') return at - 1;
    self_.doubtful = 1;  // a bare line feed
    return at;
  }

  // Behind a boundary: 1 with *at on the part's headers, 0 after the closing boundary, -1 when the line does not end.
  int skip_delimiter_tail(const char **at) {
    const char *here = *at;
    if (end_ - here >= 2 && here[0] == '-' && here[1] == '-') {
      if (!all_space(here + 2, end_)) self_.doubtful = 1;
      self_.at = static_cast<uint32_t>(here + 2 - begin_);
      return 0;
    }
    const char *line = find_line_end(here, end_);
    if (line == end_) return -1;
    if (!all_space(here, line)) self_.doubtful = 1;
    *at = line + 1;
    return 1;
  }

  // Reads header lines; returns where the content begins, NULL when there is no blank line.
  const char *read_headers(const char *at, rl_part *part) {
    bool disposition = false;
    while (at != end_) {
      const char *line = find_line_end(at, end_);
      if (line == end_) return nullptr;
      if (line == at || (line == at + 1 && *at == '\r')) {
        if (!disposition) self_.doubtful = 1;
        return line + 1;
      }
      while (line + 1 != end_ && is_blank(line[1])) {  // folded
        self_.doubtful = 1;
        line = find_line_end(line + 1, end_);
        if (line == end_) return nullptr;
      }
      disposition |= read_header(view(at, line), part, disposition);
      at = line + 1;
    }
    return nullptr;
  }

  // True for a Content-Disposition.
  bool read_header(rl_view line, rl_part *part, bool seen) {
    const void *colon = std::memchr(line.data, ':', line.size);
    if (!colon) {
      self_.doubtful = 1;
      return false;
    }
    const char *at = static_cast<const char *>(colon);
    rl_view name = view(line.data, at), value = view(at + 1, line.data + line.size);
    if (equals_ignoring_case(name, "content-transfer-encoding") && !is_identity(value)) self_.doubtful = 1;
    if (!equals_ignoring_case(name, "content-disposition")) {
      if (name.size > 0 && is_space(name.data[name.size - 1]))
        self_.doubtful = 1;  // "name :" reads differently elsewhere
      return false;
    }
    if (seen) {
      self_.doubtful = 1;
    } else {
      read_disposition(value, part);
    }
    return true;
  }

  void read_disposition(rl_view header, rl_part *part) {
    Parameters parameters(header);
    rl_view name, value;
    bool named = false, filed = false, starred = false;
    while (parameters.next(&name, &value)) {
      if (equals_ignoring_case(name, "name")) {
        take(value, &part->name, &named);
      } else if (equals_ignoring_case(name, "filename")) {
        take(value, &part->filename, &filed);
      } else if (equals_ignoring_case(name, "filename*")) {
        take(value, &part->filename_star, &starred);
      }
    }
    if (!named) self_.doubtful = 1;
    part->is_file = filed || starred;
  }

  void take(rl_view value, rl_view *out, bool *seen) {
    if (*seen) {
      self_.doubtful = 1;
    } else {
      *out = value;
    }
    *seen = true;
  }

  rl_multipart &self_;
  const char *begin_, *end_;
};

}  // namespace
}  // namespace rl

int rl_multipart_boundary(rl_view content_type, rl_view *boundary) {
  if (content_type.size == 0) return 0;
  rl::Parameters parameters(content_type);
  rl_view name, value;
  int found = 0;
  while (parameters.next(&name, &value)) {
    if (!rl::equals_ignoring_case(name, "boundary")) continue;
    if (found++ == 0) *boundary = value;
  }
  if (found == 0 || boundary->size == 0 || boundary->size > RL_BOUNDARY_BYTES) return 0;
  return found == 1 ? 1 : -1;
}

void rl_multipart_start(rl_multipart *reader, rl_view body, rl_view boundary) {
  *reader = {};
  reader->body = body;
  reader->boundary = boundary;
}

int rl_multipart_next(rl_multipart *reader, rl_part *part) { return rl::MultipartReader(reader).next(part); }
