// An index of a FileDescriptorSet (google/protobuf/descriptor.proto): files by name and by the symbols that they
// define.
//
// Built once at start. It may allocate and then throws std::bad_alloc; looking up does neither.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/protobuf.h"

namespace rl {

class Descriptors {
 public:
  struct File {
    rl_view name{};
    rl_view bytes{};  // the serialized FileDescriptorProto
    std::vector<rl_view> imports;
  };

  // Copies and indexes the set. False when it does not parse or is absurdly large; then this must not be used.
  bool load(rl_view descriptor_set);

  const std::vector<File> &files() const { return files_; }
  // Full names of all services, sorted.
  const std::vector<std::string> &services() const { return services_; }
  // Indexes into files().
  std::optional<size_t> file_named(std::string_view name) const { return find(by_name_, name); }
  // A service, method, message, field, oneof, enum or enum value, by its full name.
  std::optional<size_t> file_defining(std::string_view symbol) const { return find(by_symbol_, symbol); }
  bool has_message(std::string_view name) const { return messages_.contains(name); }

 private:
  using Names = std::map<std::string, size_t, std::less<>>;

  static std::optional<size_t> find(const Names &names, std::string_view name) {
    auto found = names.find(name);
    return found == names.end() ? std::nullopt : std::optional(found->second);
  }
  bool add_file(rl_view bytes);
  bool add_message(rl_view bytes, std::string_view scope, int depth);
  bool add_enum(rl_view bytes, std::string_view scope);
  bool add_service(rl_view bytes, std::string_view scope);
  // Takes the name of a descriptor (field 1 in every kind of them) for a symbol of the file being added. Empty when
  // malformed.
  std::string add_symbol(rl_view descriptor, std::string_view scope);

  std::string text_;  // what the views of files_ point into
  std::vector<File> files_;
  std::vector<std::string> services_;
  Names by_name_, by_symbol_, messages_;
};

}  // namespace rl
