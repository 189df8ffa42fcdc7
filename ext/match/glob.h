// Globs, compiled.
//
// On paths: `*` is any run within a segment, `**` any run across segments, a trailing `/*` whatever is below (any
// depth, at least one byte), `{name}` a non-empty run within a segment that is captured. On anything else: `*` is any
// run, `?` one byte. `\` takes the next byte as it is. Every run is as short as lets the rest match, the leftmost
// first.
//
// Matching needs no recursion and about size x pattern steps: a run within a segment is only retried while it is the
// last one (the argument of Kirk Krauss, "Matching Wildcards", 2014), and when it meets the end of its segment, every
// start of the last `**` that would meet the same end is skipped.
#pragma once
#include <string>
#include <vector>

#include "core/view.h"

namespace rl {

enum { kMaxGlobSize = 4096, kMaxCaptures = 16 };

enum class GlobKind : uint8_t { kLiteral, kAnyByte, kRun };

struct GlobToken {
  GlobKind kind;
  bool across;     // kRun: may hold '/'
  uint8_t least;   // kRun: bytes it takes at least
  int8_t capture;  // kRun: index into names, or -1
  uint32_t begin;  // kLiteral: of text
  uint32_t size;
};

struct Glob {
  std::vector<GlobToken> tokens;
  std::string text;  // the literals; lower-case when folded
  std::vector<std::string> names;
  bool folded = false;
};

// Where captures begin and end in the text.
struct GlobCaptures {
  uint32_t begin[kMaxCaptures];
  uint32_t end[kMaxCaptures];
  uint64_t steps;  // how often a token was tried; the bound that tests hold
};

// nullptr, or what is wrong with the pattern.
const char *glob_compile(rl_view pattern, bool path, bool folded, Glob *out);
// captures may be nullptr.
bool glob_match(const Glob &glob, rl_view text, GlobCaptures *captures);
// What every match begins with, and ends with.
std::string glob_prefix(const Glob &glob);
std::string glob_suffix(const Glob &glob);
// Has it no wildcard at all?
bool glob_is_literal(const Glob &glob);

}  // namespace rl
