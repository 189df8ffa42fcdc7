#include "wire/descriptors.h"

#include <algorithm>

namespace rl {

namespace {

constexpr uint32_t kMaxSet = 16 << 20;
constexpr int kMaxDepth = 32;  // of messages in messages

std::string join(std::string_view scope, std::string_view name) {
  std::string full(scope);
  if (!full.empty()) full += '.';
  return full += name;
}

// Calls field(reader) for every field of a message; field takes what it knows, skips the rest, and returns false to
// stop. False when stopped or malformed.
template <typename Field>
bool each_field(rl_view bytes, Field field) {
  ProtoReader reader(bytes);
  while (reader.next()) {
    if (!field(reader)) return false;
  }
  return !reader.failed();
}

bool skip(ProtoReader &reader) {
  reader.skip();
  return true;
}

// The last field of that number, empty when there is none. *ok turns false when malformed.
rl_view text_field(rl_view bytes, uint32_t number, bool *ok) {
  rl_view text{};
  *ok &= each_field(bytes, [&](ProtoReader &reader) {
    if (reader.tag() != tag_of(number, kBytes)) return skip(reader);
    text = reader.bytes();
    return true;
  });
  return text;
}

}  // namespace

bool Descriptors::load(rl_view descriptor_set) {
  if (descriptor_set.size > kMaxSet) return false;
  text_.assign(descriptor_set.data, descriptor_set.size);
  bool ok = each_field(view_of(text_), [this](ProtoReader &reader) {
    return reader.tag() == tag_of(1, kBytes) ? add_file(reader.bytes()) : skip(reader);
  });
  std::sort(services_.begin(), services_.end());
  return ok;
}

bool Descriptors::add_file(rl_view bytes) {
  bool ok = true;
  rl_view name = text_field(bytes, 1, &ok), package = text_field(bytes, 2, &ok);
  if (!ok) return false;
  by_name_.emplace(to_string_view(name), files_.size());
  files_.push_back({name, bytes, {}});
  std::string_view scope = to_string_view(package);
  return each_field(bytes, [&](ProtoReader &reader) {
    switch (reader.tag()) {
      case tag_of(3, kBytes):
        files_.back().imports.push_back(reader.bytes());
        return true;
      case tag_of(4, kBytes):
        return add_message(reader.bytes(), scope, 0);
      case tag_of(5, kBytes):
        return add_enum(reader.bytes(), scope);
      case tag_of(6, kBytes):
        return add_service(reader.bytes(), scope);
      default:
        return skip(reader);
    }
  });
}

std::string Descriptors::add_symbol(rl_view descriptor, std::string_view scope) {
  bool ok = true;
  rl_view name = text_field(descriptor, 1, &ok);
  if (!ok || name.size == 0) return {};
  std::string full = join(scope, to_string_view(name));
  by_symbol_.emplace(full, files_.size() - 1);
  return full;
}

bool Descriptors::add_message(rl_view bytes, std::string_view scope, int depth) {
  std::string full = add_symbol(bytes, scope);
  if (full.empty() || depth == kMaxDepth) return false;
  messages_.emplace(full, files_.size() - 1);
  return each_field(bytes, [&](ProtoReader &reader) {
    switch (reader.tag()) {
      case tag_of(2, kBytes):  // a field
      case tag_of(8, kBytes):  // a oneof
        return !add_symbol(reader.bytes(), full).empty();
      case tag_of(3, kBytes):
        return add_message(reader.bytes(), full, depth + 1);
      case tag_of(4, kBytes):
        return add_enum(reader.bytes(), full);
      default:
        return skip(reader);
    }
  });
}

bool Descriptors::add_enum(rl_view bytes, std::string_view scope) {
  if (add_symbol(bytes, scope).empty()) return false;
  return each_field(bytes, [&](ProtoReader &reader) {
    // The values of an enum are its siblings, as in C.
    return reader.tag() == tag_of(2, kBytes) ? !add_symbol(reader.bytes(), scope).empty() : skip(reader);
  });
}

bool Descriptors::add_service(rl_view bytes, std::string_view scope) {
  std::string full = add_symbol(bytes, scope);
  if (full.empty()) return false;
  services_.push_back(full);
  return each_field(bytes, [&](ProtoReader &reader) {
    return reader.tag() == tag_of(2, kBytes) ? !add_symbol(reader.bytes(), full).empty() : skip(reader);
  });
}

}  // namespace rl
