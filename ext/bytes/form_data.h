// A pull reader of multipart/form-data that sees what ModSecurity 3.0.15 sees: its parts, its flags, its errors.
// Bounded by the body; nothing is allocated.
//
// What surprises is ModSecurity's. A line end inside a field is left out of its value. An error in the headers of a
// part is told and the reading goes on. A boundary where content should begin is content. Without the closing boundary
// there are no arguments and no files, yet MULTIPART_NAME, _FILENAME and _PART_HEADERS are there.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

// The variables MULTIPART_*, as bits.
enum {
  RL_FORM_DATA_ERROR = 1 << 0,  // has no variable of its own
  RL_FORM_DATA_BOUNDARY_QUOTED = 1 << 1,
  RL_FORM_DATA_BOUNDARY_WHITESPACE = 1 << 2,
  RL_FORM_DATA_DATA_BEFORE = 1 << 3,
  RL_FORM_DATA_DATA_AFTER = 1 << 4,
  RL_FORM_DATA_HEADER_FOLDING = 1 << 5,
  RL_FORM_DATA_LF_LINE = 1 << 6,
  RL_FORM_DATA_SEMICOLON_MISSING = 1 << 7,
  RL_FORM_DATA_INVALID_QUOTING = 1 << 8,
  RL_FORM_DATA_INVALID_PART = 1 << 9,
  RL_FORM_DATA_INVALID_HEADER_FOLDING = 1 << 10,
  RL_FORM_DATA_STRICT_ERROR = (1 << 11) - 1,  // any of the above
  RL_FORM_DATA_CRLF_LINE = 1 << 11,           // with LF_LINE: MULTIPART_CRLF_LF_LINES
};

// What rl_form_data_next returns.
enum {
  RL_FORM_DATA_END = 0,
  RL_FORM_DATA_NAME = 1,      // MULTIPART_NAME: value
  RL_FORM_DATA_FILENAME = 2,  // MULTIPART_FILENAME: value
  RL_FORM_DATA_HEADER = 3,    // MULTIPART_PART_HEADERS: name (of the part), value (the unfolded line)
  RL_FORM_DATA_FIELD = 4,     // an argument, if `complete` at the end: name, value, content
  RL_FORM_DATA_FILE = 5,      // a file, if `complete` at the end: name, filename, content (its size is FILES_SIZES)
};

enum {
  RL_FORM_DATA_HEADERS = 32,       // of one part; more are an error here, ModSecurity has no limit
  RL_FORM_DATA_PARSES = 2,         // of one Content-Disposition: every blank line behind a wrong one tries again
  RL_FORM_DATA_EVENTS = 4,         // of one parse
  RL_FORM_DATA_LINE_BYTES = 4096,  // a longer line comes in pieces; of a header it is an error
  RL_FORM_DATA_BOUNDARY_BYTES = 1024
};

typedef struct rl_form_data_item {
  rl_view name;
  rl_view value;
  rl_view filename;
  rl_view content;  // all bytes of the part with their line ends
} rl_form_data_item;

// A part while it is read.
typedef struct rl_form_data_part {
  rl_view name, filename;
  rl_view disposition;  // the value of Content-Disposition; NULL data: none yet
  rl_view last_name;    // of the header that a folded line continues
  rl_view last_value;
  rl_view last_line;  // the header line that is not recorded yet
  rl_view value, content;
  rl_view lines[RL_FORM_DATA_HEADERS];
  rl_view names[RL_FORM_DATA_HEADERS];
  uint32_t lines_count, names_count;
  uint8_t parses, folded, in_data, data_seen, is_file;
} rl_form_data_part;

typedef struct rl_form_data {
  // To be read behind the last item.
  const char *error;           // REQBODY_ERROR_MSG up to the text that it quotes; NULL: REQBODY_ERROR is 0
  uint32_t flags;              // STRICT_ERROR is set if any of RL_FORM_DATA_STRICT_ERROR is
  uint8_t unmatched_boundary;  // MULTIPART_UNMATCHED_BOUNDARY: 0, 1, or 2 after a second boundary
  uint8_t complete;            // the closing boundary came: arguments and files count

  // The reader's own.
  rl_view body;
  rl_view delimiter;  // "--" and the boundary
  uint32_t at;
  uint32_t boundaries;
  char *text;          // where unfolded headers and values go
  char *names;         // where unescaped names go
  uint8_t line_start;  // the next chunk begins a line
  uint8_t bare_lf;     // the last line ended in a line feed alone
  uint8_t in_part, ended, finished, more;
  uint32_t told, events_count, events_told;
  rl_view events[RL_FORM_DATA_EVENTS];
  uint8_t event_kinds[RL_FORM_DATA_EVENTS];
  rl_form_data_part part;
} rl_form_data;

// Bytes of the buffer that rl_form_data_start wants.
uint64_t rl_form_data_room(uint32_t body_size);
// Reads the boundary out of a Content-Type. 1 when the body can be read; else 0 (flags and error say why; an empty
// boundary is no error) and there are no items. buffer must live as long as the items, content_type need not.
int rl_form_data_start(rl_form_data *reader, rl_view content_type, rl_view body, char *buffer);
// The next item. Views are valid as long as body and buffer.
int rl_form_data_next(rl_form_data *reader, rl_form_data_item *item);

#ifdef __cplusplus
}
#endif
