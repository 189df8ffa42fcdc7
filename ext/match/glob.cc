#include "match/glob.h"

#include <cstring>

#include "match/text.h"

namespace rl {
namespace {

void add_literal(Glob *glob, char byte) {
  if (glob->tokens.empty() || glob->tokens.back().kind != GlobKind::kLiteral) {
    const auto begin = static_cast<uint32_t>(glob->text.size());
    glob->tokens.push_back({GlobKind::kLiteral, false, 0, -1, begin, 0});
  }
  glob->text.push_back(glob->folded ? to_lower(byte) : byte);
  glob->tokens.back().size++;
}

void add_run(Glob *glob, bool across, uint8_t least, int8_t capture) {
  glob->tokens.push_back({GlobKind::kRun, across, least, capture, 0, 0});
}

// Reads `*`, `**` or a trailing `/*` at `at`; returns where the pattern goes on.
size_t read_stars(Glob *glob, std::string_view pattern, size_t at, bool path) {
  size_t end = at;
  while (end < pattern.size() && pattern[end] == '*') end++;
  const bool below = end == pattern.size() && end - at == 1 && !glob->text.empty() &&
                     glob->tokens.back().kind == GlobKind::kLiteral && glob->text.back() == '/';
  if (!path) {
    add_run(glob, true, 0, -1);
  } else if (below) {
    add_run(glob, true, 1, -1);
  } else {
    add_run(glob, end - at > 1, 0, -1);
  }
  return end;
}

// Reads `{name}` at `at`; returns where the pattern goes on, or `at` when it is no capture but a plain brace.
size_t read_capture(Glob *glob, std::string_view pattern, size_t at) {
  const size_t end = pattern.find_first_of("}/", at);
  if (end == std::string_view::npos || pattern[end] != '}' || end == at + 1) return at;
  add_run(glob, false, 1, static_cast<int8_t>(glob->names.size()));
  glob->names.emplace_back(pattern.substr(at + 1, end - at - 1));
  return end + 1;
}

// A run that may still grow: token and where it ends now.
struct Retry {
  uint32_t token;
  uint32_t end;
  bool open;
};

struct Matching {
  const Glob &glob;
  rl_view text;
  GlobCaptures *captures;
  Retry segment{};  // the last run within a segment, since the last `**`
  Retry across{};   // the last run across segments
};

void note_end(Matching *m, const Retry &run) {
  const GlobToken &token = m->glob.tokens[run.token];
  if (m->captures != nullptr && token.capture >= 0) m->captures->end[token.capture] = run.end;
}

// Can the token take its least at `at`? A run then becomes the one that grows.
bool take(Matching *m, uint32_t index, uint32_t *at) {
  const GlobToken &token = m->glob.tokens[index];
  const uint32_t left = m->text.size - *at;
  if (token.kind == GlobKind::kLiteral) {
    if (left < token.size || !same(m->text.data + *at, m->glob.text.data() + token.begin, token.size, m->glob.folded))
      return false;
    *at += token.size;
    return true;
  }
  if (token.kind == GlobKind::kAnyByte) {
    if (left == 0) return false;
    *at += 1;
    return true;
  }
  if (left < token.least || (token.least != 0 && !token.across && m->text.data[*at] == '/')) return false;
  if (m->captures != nullptr && token.capture >= 0) m->captures->begin[token.capture] = *at;
  *at += token.least;
  (token.across ? m->across : m->segment) = {index, *at, true};
  if (token.across) m->segment.open = false;
  note_end(m, token.across ? m->across : m->segment);
  return true;
}

// Nothing fits after the last run: let it take one byte more, or when it cannot, move the start behind the last `**`.
bool retry(Matching *m, uint32_t *index, uint32_t *at) {
  uint32_t skip = 1;
  if (m->segment.open) {
    if (m->segment.end < m->text.size && m->text.data[m->segment.end] != '/') {
      m->segment.end++;
      note_end(m, m->segment);
      *index = m->segment.token + 1;
      *at = m->segment.end;
      return true;
    }
    // Starts in the same segment would bring the run to the same end: go on behind the next '/'.
    const uint32_t from = m->across.end;
    const void *slash =
        m->across.open && from < m->text.size ? memchr(m->text.data + from, '/', m->text.size - from) : nullptr;
    if (slash == nullptr) return false;
    skip = static_cast<uint32_t>(static_cast<const char *>(slash) - m->text.data) - from + 1;
    m->segment.open = false;
  }
  if (!m->across.open || m->text.size - m->across.end < skip) return false;
  m->across.end += skip;
  *index = m->across.token + 1;
  *at = m->across.end;
  return true;
}

}  // namespace

const char *glob_compile(rl_view pattern, bool path, bool folded, Glob *out) {
  *out = {};
  out->folded = folded;
  const std::string_view text = text_of(pattern);
  if (text.size() > kMaxGlobSize) return "a glob is at most 4096 bytes";
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '*') {
      at = read_stars(out, text, at, path);
    } else if (text[at] == '?' && !path) {
      out->tokens.push_back({GlobKind::kAnyByte, false, 0, -1, 0, 0});
      at++;
    } else if (const size_t end = path && text[at] == '{' ? read_capture(out, text, at) : at; end != at) {
      if (out->names.size() > kMaxCaptures) return "a glob has at most 16 captures";
      at = end;
    } else {
      if (text[at] == '\\' && at + 1 < text.size()) at++;
      add_literal(out, text[at++]);
    }
  }
  return nullptr;
}

bool glob_match(const Glob &glob, rl_view text, GlobCaptures *captures) {
  Matching m{glob, text, captures};
  const auto count = static_cast<uint32_t>(glob.tokens.size());
  uint32_t index = 0, at = 0;
  if (captures != nullptr) captures->steps = 0;
  while (index < count || at < text.size) {
    if (captures != nullptr) captures->steps++;
    // A last `**` takes all that is left.
    if (index == count && m.across.open && m.across.token == count - 1) return true;
    if (index < count && take(&m, index, &at)) {
      index++;
    } else if (!retry(&m, &index, &at)) {
      return false;
    }
  }
  return true;
}

std::string glob_prefix(const Glob &glob) {
  if (glob.tokens.empty() || glob.tokens.front().kind != GlobKind::kLiteral) return {};
  return glob.text.substr(glob.tokens.front().begin, glob.tokens.front().size);
}

std::string glob_suffix(const Glob &glob) {
  if (glob.tokens.empty() || glob.tokens.back().kind != GlobKind::kLiteral) return {};
  return glob.text.substr(glob.tokens.back().begin, glob.tokens.back().size);
}

bool glob_is_literal(const Glob &glob) {
  return glob.tokens.empty() || (glob.tokens.size() == 1 && glob.tokens.front().kind == GlobKind::kLiteral);
}

}  // namespace rl
