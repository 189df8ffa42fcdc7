#include "bytes/form_data.h"

#include <algorithm>
#include <cstring>

#include "bytes/ascii.h"
#include "bytes/boundary.h"
#include "bytes/disposition.h"

namespace rl {
namespace {

constexpr char kDisposition[] = "content-disposition";

bool equal_ignoring_case(rl_view a, rl_view b) {
  if (a.size != b.size) return false;
  for (uint32_t i = 0; i < a.size; ++i) {
    if (to_lower(a.data[i]) != to_lower(b.data[i])) return false;
  }
  return true;
}

// Without the carriage returns and line feeds at its end; but a text of nothing else stays.
rl_view chomp(rl_view text) {
  uint32_t size = text.size;
  while (size > 0 && (text.data[size - 1] == '\n' || text.data[size - 1] == '\r')) --size;
  return {text.data, size > 0 ? size : text.size};
}

// Without its line end; a carriage return is part of one only in front of a line feed.
rl_view without_line_end(rl_view chunk) {
  if (chunk.size > 0 && chunk.data[chunk.size - 1] == '\n') {
    chunk.size -= chunk.size > 1 && chunk.data[chunk.size - 2] == '\r' ? 2 : 1;
  }
  return chunk;
}

rl_view from(rl_view text, uint32_t begin) { return {text.data + begin, text.size - begin}; }

class FormData : DispositionSink {
 public:
  explicit FormData(rl_form_data *self) : self_(*self), part_(self->part) {}

  int next(rl_form_data_item *item) {
    *item = {};
    for (;;) {
      if (self_.events_told < self_.events_count) {
        item->value = self_.events[self_.events_told];
        return self_.event_kinds[self_.events_told++];
      }
      if (self_.finished) {
        int kind = tell_part(item);
        if (kind != 0) return kind;
        continue;
      }
      if (self_.ended) return RL_FORM_DATA_END;
      self_.events_count = self_.events_told = 0;
      read_chunk();
    }
  }

 private:
  // What comes in pieces of a line each, or of a full buffer when a line is longer.
  void read_chunk() {
    uint32_t left = self_.body.size - self_.at;
    const char *begin = self_.body.data + self_.at;
    uint32_t size = std::min<uint32_t>(left, RL_FORM_DATA_LINE_BYTES);
    const void *feed = size > 0 ? std::memchr(begin, '\n', size) : nullptr;
    bool full = size == RL_FORM_DATA_LINE_BYTES;
    if (feed) {
      size = static_cast<uint32_t>(static_cast<const char *>(feed) - begin) + 1;
      full = size == RL_FORM_DATA_LINE_BYTES;
    } else if (!full) {
      return finish({begin, size});
    } else if (begin[size - 1] == '\r') {
      --size;  // it waits for its line feed
    }
    self_.at += size;
    rl_view chunk = {begin, size};
    take(chunk, full);
    self_.line_start = feed != nullptr;
    self_.bare_lf = feed && (size < 2 || begin[size - 2] != '\r');
    if (self_.complete && self_.at < self_.body.size) self_.flags |= RL_FORM_DATA_DATA_AFTER;
    if (self_.complete) self_.ended = 1;
  }

  void take(rl_view chunk, bool full) {
    if (self_.line_start && looks_like_delimiter(chunk)) {
      if (starts_with_delimiter(chunk)) {
        if (take_delimiter(chunk)) return;
      } else if (!check_unmatched(chunk)) {
        return fail("Multipart: Invalid boundary.");
      }
    } else if (self_.line_start && memmem(chunk.data, chunk.size, self_.delimiter.data, self_.delimiter.size)) {
      self_.unmatched_boundary = 1;
    }
    if (self_.ended) return;
    if (!self_.in_part) {
      self_.flags |= RL_FORM_DATA_DATA_BEFORE;
    } else if (part_.in_data) {
      take_data(chunk);
    } else if (full) {
      fail("Multipart: Part header line over 4096 bytes long");
    } else {
      take_header_line(chunk);
    }
  }

  // "--" and at least two more bytes, none of them 0: ModSecurity measures a C string.
  static bool looks_like_delimiter(rl_view chunk) {
    return chunk.size > 3 && chunk.data[0] == '-' && chunk.data[1] == '-' && chunk.data[2] != 0 && chunk.data[3] != 0;
  }

  bool starts_with_delimiter(rl_view chunk) const {
    return chunk.size >= self_.delimiter.size &&
           std::memcmp(chunk.data, self_.delimiter.data, self_.delimiter.size) == 0;
  }

  bool starts_with_boundary(rl_view text) const {
    rl_view boundary = from(self_.delimiter, 2);
    return text.size >= boundary.size && std::memcmp(text.data, boundary.data, boundary.size) == 0;
  }

  // False when the line is none after all, and content.
  bool take_delimiter(rl_view chunk) {
    if (self_.bare_lf) self_.flags |= RL_FORM_DATA_LF_LINE;
    if (!part_.data_seen && self_.boundaries > 0) {
      self_.flags |= RL_FORM_DATA_INVALID_PART;
      return false;
    }
    if (self_.boundaries > 0) self_.unmatched_boundary = 2;
    rl_view rest = from(chunk, self_.delimiter.size);
    bool closing = rest.size >= 2 && rest.data[0] == '-' && rest.data[1] == '-';
    if (closing) rest = from(rest, 2);
    bool crlf = rest.size == 2 && rest.data[0] == '\r' && rest.data[1] == '\n';
    if (!crlf && !(rest.size == 1 && rest.data[0] == '\n')) {
      fail("Multipart: Invalid boundary.");
      return true;
    }
    self_.flags |= crlf ? RL_FORM_DATA_CRLF_LINE : RL_FORM_DATA_LF_LINE;
    ++self_.boundaries;
    finish_part(!closing);
    self_.complete = closing;
    return true;
  }

  // A line that begins like a boundary and is another. False when somebody tried to disguise ours.
  bool check_unmatched(rl_view chunk) {
    if ((self_.flags & RL_FORM_DATA_BOUNDARY_QUOTED) && chunk.data[2] == '"' && starts_with_boundary(from(chunk, 3))) {
      return false;
    }
    uint32_t begin = 2;
    while (begin < chunk.size && is_space(chunk.data[begin])) ++begin;
    if (begin > 2 && starts_with_boundary(from(chunk, begin))) return false;
    self_.unmatched_boundary = 1;
    return true;
  }

  void fail(const char *error) {
    self_.flags |= RL_FORM_DATA_ERROR;
    self_.error = error;
    finish({nullptr, 0});
  }

  // The body has ended, with what is left of it, or was given up. Its last line needs no line end if it closes.
  void finish(rl_view rest) {
    self_.ended = 1;
    if (self_.body.size == 0) return;
    if (self_.boundaries == 0) {
      self_.error = "Multipart: No boundaries found in payload.";
      return;
    }
    bool closing = self_.line_start && rest.size == self_.delimiter.size + 2 && starts_with_delimiter(rest) &&
                   rest.data[rest.size - 1] == '-' && rest.data[rest.size - 2] == '-';
    if (!closing) {
      self_.error = "Multipart: Final boundary missing.";
      return;
    }
    if (self_.bare_lf) self_.flags |= RL_FORM_DATA_LF_LINE;
    if (!part_.data_seen) self_.flags |= RL_FORM_DATA_INVALID_PART;
    finish_part(false);
    self_.complete = 1;
  }

  void finish_part(bool more) {
    self_.finished = 1;
    self_.more = more;
    self_.told = 0;
    if (self_.in_part && part_.name.size == 0) self_.flags |= RL_FORM_DATA_INVALID_PART;
  }

  // What is left to tell of a finished part; 0 when it is over and the next one begins.
  int tell_part(rl_form_data_item *item) {
    if (self_.in_part && self_.told < part_.lines_count) {
      item->name = part_.name;
      item->value = part_.lines[self_.told++];
      return RL_FORM_DATA_HEADER;
    }
    bool tell = self_.in_part && part_.name.size > 0;
    if (tell) {
      item->name = part_.name;
      item->value = part_.value;
      item->content = part_.content;
      item->filename = part_.filename;
    }
    int kind = part_.is_file ? RL_FORM_DATA_FILE : RL_FORM_DATA_FIELD;
    self_.finished = 0;
    self_.in_part = self_.more;
    part_ = {};
    return tell ? kind : 0;
  }

  void take_data(rl_view chunk) {
    rl_view data = without_line_end(chunk);
    if (!part_.data_seen) {
      part_.content = part_.value = data;
    } else {
      part_.content.size = static_cast<uint32_t>(data.data + data.size - part_.content.data);
      if (!part_.is_file) append_value(data);
    }
    part_.data_seen = 1;
  }

  // The first piece is a view of the body; the second takes it along to the text.
  void append_value(rl_view data) {
    if (data.size == 0) return;
    if (part_.value.size == 0) {
      part_.value = data;
      return;
    }
    if (part_.value.data + part_.value.size != self_.text) {
      std::memcpy(self_.text, part_.value.data, part_.value.size);
      part_.value.data = self_.text;
      self_.text += part_.value.size;
    }
    std::memcpy(self_.text, data.data, data.size);
    self_.text += data.size;
    part_.value.size += data.size;
  }

  void take_header_line(rl_view chunk) {
    if (std::memchr(chunk.data, 0, chunk.size)) {
      self_.error = "Multipart: Nul byte in part headers.";
      return;
    }
    rl_view line = without_line_end(chunk);
    self_.flags |= chunk.size - line.size == 2 ? RL_FORM_DATA_CRLF_LINE : RL_FORM_DATA_LF_LINE;
    if (line.size == 0) {
      if (record_line()) end_headers();
    } else if (is_space(*chunk.data)) {
      fold(chunk);
    } else if (record_line()) {
      take_header(chunk, line);
    }
  }

  // The last header line is complete. False when there are too many.
  bool record_line() {
    if (part_.last_line.size == 0) return true;
    if (part_.lines_count == RL_FORM_DATA_HEADERS) {
      fail("Multipart: Too many part headers.");
      return false;
    }
    part_.lines[part_.lines_count++] = part_.last_line;
    part_.last_line.size = 0;
    return true;
  }

  void end_headers() {
    if (!part_.disposition.data) {
      self_.error = "Multipart: Part missing Content-Disposition header.";
      return;
    }
    if (part_.parses == RL_FORM_DATA_PARSES) {
      self_.error = "Multipart: Invalid Content-Disposition header (";
      return;
    }
    ++part_.parses;
    if (!read_disposition(part_.disposition, &self_.names, &part_.name, &part_.filename, this)) {
      self_.error = "Multipart: Invalid Content-Disposition header (";
    } else if (part_.name.size == 0) {
      self_.error = "Multipart: Content-Disposition header missing name field.";
    } else if (part_.filename.size > 0 &&
               !memmem(part_.disposition.data, part_.disposition.size, "filename=", sizeof "filename=" - 1)) {
      self_.error = "Multipart: Invalid Content-Disposition header (filename).";
    } else {
      part_.is_file = part_.filename.size > 0;
      part_.in_data = 1;
      part_.data_seen = 0;
    }
  }

  void fold(rl_view chunk) {
    self_.flags |= RL_FORM_DATA_HEADER_FOLDING;
    if (!is_blank(*chunk.data)) self_.flags |= RL_FORM_DATA_INVALID_HEADER_FOLDING;
    if (part_.last_name.size == 0) {
      self_.error = "Multipart: Invalid part header (folding error).";
      return;
    }
    uint32_t begin = 0;
    for (; begin < chunk.size && is_space(chunk.data[begin]); ++begin) {
      if (!is_blank(chunk.data[begin])) self_.flags |= RL_FORM_DATA_INVALID_HEADER_FOLDING;
    }
    unfold(chomp(from(chunk, begin)));
    if (part_.last_value.size > RL_FORM_DATA_LINE_BYTES) {
      self_.error = "Multipart: Part header too long.";
      return;
    }
    const char *line = part_.last_value.data - part_.last_name.size - 2;
    part_.last_line = {line, part_.last_name.size + 2 + part_.last_value.size};
  }

  // Adds to the value of the last header, which becomes "name: value" in the text; nothing else is written there as
  // long as it is the last.
  void unfold(rl_view more) {
    bool disposition = part_.disposition.data == part_.last_value.data;
    if (!part_.folded) {
      copy_text(part_.last_name);
      copy_text({": ", 2});
      const char *value = self_.text;
      copy_text(part_.last_value);
      part_.last_value.data = value;
      part_.folded = 1;
    }
    copy_text({" ", 1});
    copy_text(more);
    part_.last_value.size += 1 + more.size;
    if (disposition) part_.disposition = part_.last_value;
  }

  void copy_text(rl_view text) {
    if (text.size > 0) std::memcpy(self_.text, text.data, text.size);
    self_.text += text.size;
  }

  void take_header(rl_view chunk, rl_view line) {
    const void *colon = std::memchr(chunk.data, ':', chunk.size);
    if (!colon) {
      self_.error = "Multipart: Invalid part header (colon missing): ";
      return;
    }
    rl_view name = {chunk.data, static_cast<uint32_t>(static_cast<const char *>(colon) - chunk.data)};
    if (name.size == 0) {
      self_.error = "Multipart: Invalid part header (header name missing).";
      return;
    }
    for (uint32_t i = 0; i < name.size; ++i) {
      if (name.data[i] < 33 || name.data[i] > 126) {
        self_.error = "Multipart: Invalid part header (contains invalid character).";
        return;
      }
    }
    for (uint32_t i = 0; i < part_.names_count; ++i) {
      if (equal_ignoring_case(part_.names[i], name)) return;  // ignored, and so the last header stays the last
    }
    if (part_.names_count == RL_FORM_DATA_HEADERS) return fail("Multipart: Too many part headers.");
    part_.names[part_.names_count++] = name;
    rl_view value = from(chunk, name.size + 1);
    while (value.size > 0 && is_blank(*value.data)) value = from(value, 1);
    part_.last_name = name;
    part_.last_value = chomp(value);
    part_.last_line = line;
    part_.folded = 0;
    if (equal_ignoring_case(name, {kDisposition, sizeof kDisposition - 1})) part_.disposition = part_.last_value;
  }

  void parameter(bool filename, rl_view value) override {
    if (self_.events_count == RL_FORM_DATA_EVENTS) return;
    self_.events[self_.events_count] = value;
    self_.event_kinds[self_.events_count++] = filename ? RL_FORM_DATA_FILENAME : RL_FORM_DATA_NAME;
  }

  void invalid_quoting() override { self_.flags |= RL_FORM_DATA_INVALID_QUOTING; }

  rl_form_data &self_;
  rl_form_data_part &part_;
};

}  // namespace
}  // namespace rl

uint64_t rl_form_data_room(uint32_t body_size) {
  return (1 + static_cast<uint64_t>(RL_FORM_DATA_PARSES)) * body_size + RL_FORM_DATA_BOUNDARY_BYTES + 2;
}

int rl_form_data_start(rl_form_data *reader, rl_view content_type, rl_view body, char *buffer) {
  *reader = {};
  reader->body = body;
  rl_view boundary = rl::find_boundary(content_type, &reader->flags, &reader->error);
  if (boundary.size == 0) {
    reader->ended = 1;
    return 0;
  }
  std::memcpy(buffer, "--", 2);
  std::memcpy(buffer + 2, boundary.data, boundary.size);
  reader->delimiter = {buffer, boundary.size + 2};
  reader->text = buffer + RL_FORM_DATA_BOUNDARY_BYTES + 2;
  reader->names = reader->text + body.size;
  reader->line_start = 1;
  return 1;
}

int rl_form_data_next(rl_form_data *reader, rl_form_data_item *item) { return rl::FormData(reader).next(item); }
