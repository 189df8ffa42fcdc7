#include "wire/reflection.h"

#include <new>

#include "wire/descriptors.h"

namespace rl {

namespace {

// A question is one name. Longer ones are nobody's, and the answer repeats the question.
constexpr uint32_t kMaxRequest = 4096;

enum RpcCode : uint32_t { kInvalidArgument = 3, kNotFound = 5 };

// Fields of the oneof message_request; 0 when it is empty.
enum Kind : uint32_t {
  kNothing = 0,
  kFileByFilename = 3,
  kFileContainingSymbol = 4,
  kFileContainingExtension = 5,
  kAllExtensionNumbersOfType = 6,
  kListServices = 7,
};

// Fields of the oneof message_response.
enum Answer : uint32_t { kFileDescriptors = 4, kExtensionNumbers = 5, kServices = 6, kError = 7 };

struct Question {
  Kind kind = kNothing;
  rl_view host{};
  rl_view name{};  // for an extension the type that it extends, which is all we need: there are none
};

bool read_question(rl_view bytes, Question *question) {
  ProtoReader reader(bytes);
  bool ok = true;
  while (reader.next()) {
    uint32_t field = reader.tag() >> 3;
    if (reader.tag() == tag_of(1, kBytes)) {
      question->host = reader.bytes();
    } else if (field >= kFileByFilename && field <= kListServices && reader.tag() == tag_of(field, kBytes)) {
      question->kind = static_cast<Kind>(field);
      question->name = reader.bytes();
      rl_view ignored{};
      if (field == kFileContainingExtension) {
        rl_view extension = question->name;
        question->name = {};
        ok &= read_entry(extension, &question->name, &ignored);
      }
    } else {
      reader.skip();
    }
  }
  return ok && !reader.failed();
}

class Server : public Reflection {
 public:
  bool load(rl_view descriptor_set) { return descriptors_.load(descriptor_set); }

  DecodeError answer(rl_view request, Buffer *out) const override {
    Question question;
    if (request.size > kMaxRequest) return "ServerReflectionRequest is longer than 4096 bytes";
    if (!read_question(request, &question)) return "ServerReflectionRequest is not well-formed";
    try {
      write(question, request, out);
    } catch (const std::bad_alloc &) {
      return "out of memory";
    }
    return nullptr;
  }

 private:
  void write(const Question &question, rl_view request, Buffer *out) const {
    std::vector<size_t> files = files_for(question);
    char *to = out->reserve(room_for(question, request, files));
    if (!to) return;
    ProtoWriter writer{to};
    writer.optional_text(1, question.host);
    writer.bytes(2, request);
    write_answer(&writer, question, files);
    out->commit(static_cast<size_t>(writer.at - to));
  }

  // The file asked for and all that it imports, each once; empty when there is no such file.
  std::vector<size_t> files_for(const Question &question) const {
    std::optional<size_t> found;
    if (question.kind == kFileByFilename) found = descriptors_.file_named(to_string_view(question.name));
    if (question.kind == kFileContainingSymbol) found = descriptors_.file_defining(to_string_view(question.name));
    std::vector<size_t> files;
    std::vector<bool> seen(descriptors_.files().size());
    auto add = [&](std::optional<size_t> file) {
      if (!file || seen[*file]) return;
      seen[*file] = true;
      files.push_back(*file);
    };
    add(found);
    for (size_t i = 0; i < files.size(); i++) {
      for (rl_view import : descriptors_.files()[files[i]].imports)
        add(descriptors_.file_named(to_string_view(import)));
    }
    return files;
  }

  size_t room_for(const Question &question, rl_view request, const std::vector<size_t> &files) const {
    size_t room = 256 + request.size + 2 * kMaxText;
    for (size_t file : files) room += descriptors_.files()[file].bytes.size + 8;
    if (question.kind == kListServices) {
      for (const std::string &name : descriptors_.services()) room += name.size() + 16;
    }
    return room;
  }

  void write_answer(ProtoWriter *writer, const Question &question, const std::vector<size_t> &files) const {
    switch (question.kind) {
      case kFileByFilename:
      case kFileContainingSymbol:
        if (files.empty()) return write_error(writer, kNotFound, "not found: ", question.name);
        return write_files(writer, files);
      case kFileContainingExtension:
        return write_error(writer, kNotFound, "no extensions of: ", question.name);
      case kAllExtensionNumbersOfType:
        if (!descriptors_.has_message(to_string_view(question.name))) {
          return write_error(writer, kNotFound, "not found: ", question.name);
        }
        return write_no_extensions(writer, question.name);
      case kListServices:
        return write_services(writer);
      case kNothing:
        return write_error(writer, kInvalidArgument, "message_request is not set", {});
    }
  }

  void write_files(ProtoWriter *writer, const std::vector<size_t> &files) const {
    char *answer = writer->begin<4>(kFileDescriptors);
    for (size_t file : files) writer->bytes(1, descriptors_.files()[file].bytes);
    writer->end<4>(answer);
  }

  void write_services(ProtoWriter *writer) const {
    char *answer = writer->begin<4>(kServices);
    for (const std::string &name : descriptors_.services()) {
      char *service = writer->begin<4>(1);
      writer->bytes(1, view_of(name));
      writer->end<4>(service);
    }
    writer->end<4>(answer);
  }

  static void write_no_extensions(ProtoWriter *writer, rl_view type) {
    char *answer = writer->begin<2>(kExtensionNumbers);
    writer->text(1, type);
    writer->end<2>(answer);
  }

  static void write_error(ProtoWriter *writer, RpcCode code, std::string_view message, rl_view name) {
    char *answer = writer->begin<2>(kError);
    writer->number(1, code);
    char *text = writer->begin<2>(2);
    writer->raw(view_of(message));
    writer->at = copy_utf8(writer->at, clip_utf8(name, 256));
    writer->end<2>(text);
    writer->end<2>(answer);
  }

  Descriptors descriptors_;
};

}  // namespace

std::unique_ptr<Reflection> reflection_new(rl_view descriptor_set) {
  try {
    auto server = std::make_unique<Server>();
    if (!server->load(descriptor_set)) return nullptr;
    return server;
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

}  // namespace rl
