// Which texts libinjection certainly calls benign, read from how it works. tests/bytes/test_injection.py holds both
// gates against it, over all short sequences of tokens.
#include <array>

#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/injection.h"

namespace rl {
namespace {

// SQLi: libinjection reads tokens and looks their types up as a fingerprint of at most five. Of all fingerprints
// - none consists of numbers, barewords, functions, operators, ",", ":" and "." alone;
// - none of fewer than five begins with a keyword that only those follow;
// - those of fewer than three hold a comment, or UNION as the second of exactly two tokens, which is let pass.
// So it matters which words may be keywords. No keyword has a digit after one or two letters but MD5, a function; of
// those with a later digit only some that begin like INT8, FLOAT8, SERIAL8, _UTF8 or OWN3D are more than functions.
enum Kind : uint8_t { kUnsafe, kSpace, kPunctuation, kDigit, kLetter };

constexpr std::array<uint8_t, 256> kKinds = [] {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    uint8_t kind = kUnsafe;
    if (is_space(static_cast<char>(c))) kind = kSpace;
    if (is_digit(static_cast<char>(c))) kind = kDigit;
    if (is_alpha(static_cast<char>(c)) || c == '_' || (c >= 0x80 && c != 0xa0)) kind = kLetter;
    table[static_cast<size_t>(c)] = kind;
  }
  for (char c : {'.', ',', ':', '+', '-', '/', '*', '%', '=', '<', '>', '~', '^', '!'}) {
    table[static_cast<size_t>(c)] = kPunctuation;
  }
  return table;
}();

Kind kind_of(char c) { return static_cast<Kind>(kKinds[static_cast<uint8_t>(c)]); }

struct Tokens {
  uint32_t most = 0;   // at most so many
  uint32_t words = 0;  // of these may be keywords
  bool first_word = false;
};

void add_keyword(Tokens &tokens) {
  if (tokens.most == 0) tokens.first_word = true;
  ++tokens.words;
}

// A run of letters and digits that begins with a letter is one token.
void add_word(const char *at, uint32_t size, Tokens &tokens) {
  uint32_t digit = 0;
  while (digit < size && !is_digit(at[digit])) ++digit;
  char first = to_lower(at[0]);
  bool like_a_type = first == 'i' || first == 's' || first == 'o' || first == '_' || first == 'f';
  if (digit == size || (digit > 2 && like_a_type)) add_keyword(tokens);
  ++tokens.most;
}

// One that begins with a digit is a number, with a base, exponent or suffix of letters, and what is left of it. A word
// of that rest begins at any letter.
void add_number(const char *at, uint32_t size, Tokens &tokens) {
  uint32_t letters = 0;
  bool plain = true;
  for (uint32_t i = 0; i <= size; ++i) {
    if (i < size && !is_digit(at[i])) {
      ++letters;
      plain = false;
      continue;
    }
    if (letters > 2 || (letters == 2 && i == size)) ++tokens.words;
    letters = 0;
  }
  tokens.most += plain ? 1 : 3;
}

bool may_be_comment(const char *at, uint32_t left) {
  return left > 1 && ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*'));
}

// False when a byte is not understood.
bool read_tokens(rl_view text, Tokens &tokens) {
  for (uint32_t i = 0; i < text.size;) {
    const char *at = text.data + i;
    Kind kind = kind_of(*at);
    uint32_t run = 1;
    if (kind == kUnsafe || may_be_comment(at, text.size - i)) return false;
    if (kind == kPunctuation) ++tokens.most;
    if (kind == kLetter || kind == kDigit) {
      while (i + run < text.size && kind_of(at[run]) >= kDigit) ++run;
      kind == kLetter ? add_word(at, run, tokens) : add_number(at, run, tokens);
    }
    if (tokens.words > 2) return false;
    i += run;
  }
  return true;
}

}  // namespace
}  // namespace rl

int rl_benign_sqli(rl_view text) {
  rl::Tokens tokens;
  if (!rl::read_tokens(text, tokens)) return 0;
  return tokens.words == 0 || tokens.most <= 2 || (tokens.words == 1 && tokens.first_word && tokens.most <= 4);
}

// XSS: libinjection reads the text as HTML and as an attribute's value, bare and in each kind of quotes. Tags, comments
// and doctypes begin with "<"; an attribute is judged only when "=" gives it a value.
int rl_benign_xss(rl_view text) {
  using namespace rl;
  uint32_t i = 0;
  for (; text.size - i >= sizeof(Block); i += sizeof(Block)) {
    Block block = load_block(text.data + i);
    if (first_set(equals(block, '<') | equals(block, '=')) < sizeof(Block)) return 0;
  }
  for (; i < text.size; ++i) {
    if (text.data[i] == '<' || text.data[i] == '=') return 0;
  }
  return 1;
}
