#include "wire/metadata.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "wire/decode.h"

namespace rl {

namespace {

enum { kMaxLevels = 8, kMaxNesting = 32 };  // below a filter: of a name; of a message
// The longest text of a double, and more than that of a bool.
enum : size_t { kMaxNumber = 24 };

enum class Kind : uint8_t { kNone, kNumber, kString, kBool, kObject, kList };

// One google.protobuf.Value: the last of a oneof wins.
struct Value {
  Kind kind = Kind::kNone;
  rl_view bytes{};  // of a string, an object or a list
  double number = 0;
  bool truth = false;
};

Value read_value(rl_view bytes) {
  Value value;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case tag_of(1, kVarint):
        value.kind = Kind::kNone;
        reader.skip();
        break;
      case tag_of(2, kFixed64):
        value.kind = Kind::kNumber;
        value.number = std::bit_cast<double>(reader.fixed64());
        break;
      case tag_of(3, kBytes):
        value.kind = Kind::kString;
        value.bytes = reader.bytes();
        break;
      case tag_of(4, kVarint):
        value.kind = Kind::kBool;
        value.truth = reader.varint() != 0;
        break;
      case tag_of(5, kBytes):
        value.kind = Kind::kObject;
        value.bytes = reader.bytes();
        break;
      case tag_of(6, kBytes):
        value.kind = Kind::kList;
        value.bytes = reader.bytes();
        break;
      default:
        reader.skip();
    }
  }
  return value;
}

// Calls item(bytes) for each field 1 of a message: the entries of a map, the items of a list. False when malformed, or
// when item says so.
template <typename Item>
bool each(rl_view message, Item item) {
  ProtoReader reader(message);
  while (reader.next()) {
    if (reader.tag() != tag_of(1, kBytes)) {
      reader.skip();
    } else if (rl_view bytes = reader.bytes(); !reader.failed() && !item(bytes)) {
      return false;
    }
  }
  return !reader.failed();
}

bool is_struct(rl_view bytes, int nesting);

bool is_value(rl_view bytes, int nesting) {
  if (nesting == 0) return false;
  bool ok = true;
  ProtoReader reader(bytes);
  while (ok && reader.next()) {
    switch (reader.tag()) {
      case tag_of(5, kBytes):
        ok = is_struct(reader.bytes(), nesting - 1);
        break;
      case tag_of(6, kBytes):
        ok = each(reader.bytes(), [nesting](rl_view item) { return is_value(item, nesting - 1); });
        break;
      default:
        reader.skip();
    }
  }
  return ok && !reader.failed();
}

bool is_struct(rl_view bytes, int nesting) {
  return each(bytes, [nesting](rl_view entry) {
    rl_view key{}, value{};
    return read_entry(entry, &key, &value) && is_value(value, nesting);
  });
}

// What is left of a name when its first part is taken away; nothing is left when they are the same.
bool strip(rl_view name, rl_view part, rl_view *rest) {
  if (name.size < part.size || !to_string_view(name).starts_with(to_string_view(part))) return false;
  if (name.size == part.size) {
    *rest = {};
    return true;
  }
  if (name.data[part.size] != '.' || name.size == part.size + 1) return false;
  *rest = {name.data + part.size + 1, name.size - part.size - 1};
  return true;
}

struct Search {
  uint32_t *steps;
  rl_view found{};
  bool hit = false;

  // False ends the search: too much has been looked at.
  bool step() { return *steps > 0 && (*steps)--; }
  bool keep(rl_view value) {
    found = value;
    hit = true;
    return true;
  }
};

bool search_value(Search *search, rl_view bytes, rl_view name, int level);

// The last of a key wins, as in every protobuf map.
bool search_map(Search *search, rl_view map, rl_view name, int level) {
  return each(map, [=](rl_view entry) {
    rl_view key{}, value{}, rest;
    if (!search->step()) return false;
    if (!read_entry(entry, &key, &value) || !strip(name, key, &rest)) return true;
    return rest.size == 0 ? search->keep(value) : search_value(search, value, rest, level);
  });
}

bool search_list(Search *search, rl_view list, rl_view name, int level) {
  const std::string_view text = to_string_view(name);
  const rl_view part = view_of(text.substr(0, text.find('.')));
  uint32_t place, at = 0;
  rl_view rest;
  if ((part.size > 1 && part.data[0] == '0') || !parse_decimal(part, &place) || !strip(name, part, &rest)) return true;
  return each(list, [&](rl_view item) {
    if (!search->step()) return false;
    if (at++ != place) return true;
    return rest.size == 0 ? search->keep(item) : search_value(search, item, rest, level);
  });
}

bool search_value(Search *search, rl_view bytes, rl_view name, int level) {
  if (level == kMaxLevels) return true;
  const Value value = read_value(bytes);
  if (value.kind == Kind::kObject) return search_map(search, value.bytes, name, level + 1);
  return value.kind != Kind::kList || search_list(search, value.bytes, name, level + 1);
}

char *write_number(char *to, double number) {
  constexpr double kExact = 9007199254740992.0;  // 2^53: from there on a double does not hold every whole number
  if (std::abs(number) <= kExact && std::trunc(number) == number) {
    return std::to_chars(to, to + kMaxNumber, static_cast<int64_t>(number)).ptr;
  }
  return std::to_chars(to, to + kMaxNumber, number).ptr;
}

// NULL: the value has no text.
char *write_scalar(char *to, const Value &value) {
  switch (value.kind) {
    case Kind::kNumber:
      return write_number(to, value.number);
    case Kind::kString:
      return copy(to, value.bytes);
    case Kind::kBool:
      return copy(to, value.truth ? std::string_view("true") : std::string_view("false"));
    default:
      return nullptr;
  }
}

}  // namespace

bool is_metadata(rl_view metadata) {
  return each(metadata, [](rl_view entry) {
    rl_view filter{}, fields{};
    return read_entry(entry, &filter, &fields) && is_struct(fields, kMaxNesting);
  });
}

bool find_metadata(rl_view metadata, rl_view name, uint32_t *steps, rl_view *value) {
  Search search{steps};
  const bool done = each(metadata, [&](rl_view entry) {
    rl_view filter{}, fields{}, rest;
    if (!search.step()) return false;
    if (!read_entry(entry, &filter, &fields) || !strip(name, filter, &rest) || rest.size == 0) return true;
    return search_map(&search, fields, rest, 1);
  });
  *value = search.found;
  return done && search.hit;
}

// An item of a list is at least four bytes long for "false" and a space, 11 for a number.
size_t metadata_room(rl_view value) {
  const Kind kind = read_value(value).kind;
  if (kind == Kind::kList) return 3 * size_t{value.size} + kMaxNumber;
  return kind == Kind::kNumber || kind == Kind::kBool ? size_t{kMaxNumber} : 0;
}

bool metadata_text(rl_view bytes, char *room, rl_view *out) {
  const Value value = read_value(bytes);
  char *to = room;
  if (value.kind == Kind::kString) {
    *out = value.bytes;
    return true;
  }
  if (value.kind == Kind::kList) {
    bool first = true;
    each(value.bytes, [&](rl_view item) {
      if (char *end = write_scalar(first ? to : to + 1, read_value(item))) {
        if (!first) *to = ' ';
        to = end;
        first = false;
      }
      return true;
    });
  } else if (!(to = write_scalar(to, value))) {
    return false;
  }
  *out = {room, static_cast<uint32_t>(to - room)};
  return true;
}

}  // namespace rl
