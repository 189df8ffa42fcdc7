#include "bytes/xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include <cstring>
#include <memory>

namespace rl {
namespace {

constexpr char kRoot[] = "xml";
constexpr uint32_t kRootSize = sizeof kRoot - 1;
// What looking an entity up counts at least, so that empty ones are not free.
constexpr uint32_t kEntityCost = 64;

const xmlChar *empty() { return reinterpret_cast<const xmlChar *>(""); }

struct Level {
  uint32_t path_size;  // in front of this element's name
  bool has_child;
};

// The state behind libxml2's callbacks, which see it as their context. Once result is set nothing more is taken.
struct XmlReader {
  rl_xml *out;
  xmlParserCtxtPtr parser;
  int result;
  uint32_t depth;
  uint32_t expanded;
  uint32_t leaf_begin;  // in text: where the value of the innermost element begins
  uint32_t path_size;
  Level levels[RL_XML_DEPTH];
  char path[4096];

  void stop(int why) {
    if (result == RL_XML_OK) result = why;
    xmlStopParser(parser);
  }

  bool room_for(uint32_t size) {
    if (out->values_room - out->values_size >= size) return true;
    stop(RL_XML_TOO_LARGE);
    return false;
  }

  rl_view keep(const char *data, size_t size) {
    rl_view view = {out->values + out->values_size, static_cast<uint32_t>(size)};
    if (size > 0) std::memcpy(out->values + out->values_size, data, size);
    out->values_size += view.size;
    return view;
  }

  void add_attribute(const char *data, size_t size) {
    if (out->attributes_count == out->attributes_room) return stop(RL_XML_TOO_LARGE);
    if (size > UINT32_MAX || !room_for(static_cast<uint32_t>(size))) return;
    out->attributes[out->attributes_count++] = keep(data, size);
  }

  void open(const char *name) {
    if (depth == RL_XML_DEPTH) return stop(RL_XML_DEEP);
    out->has_root = 1;
    if (depth > 0) levels[depth - 1].has_child = true;
    levels[depth++] = {path_size, false};
    leaf_begin = out->text_size;
    if (out->arguments_room == 0) return;
    size_t size = std::strlen(name);
    if (size + 1 > sizeof path - path_size) return stop(RL_XML_TOO_LARGE);
    path[path_size++] = '.';
    std::memcpy(path + path_size, name, size);
    path_size += static_cast<uint32_t>(size);
  }

  void close() {
    if (depth == 0) return;
    const Level &level = levels[--depth];
    if (!level.has_child && out->arguments_room > 0) add_argument();
    path_size = level.path_size;
    leaf_begin = out->text_size;
  }

  void add_argument() {
    uint32_t size = out->text_size - leaf_begin;
    if (out->arguments_count == out->arguments_room) return stop(RL_XML_TOO_LARGE);
    if (!room_for(path_size)) return;
    out->arguments[out->arguments_count++] = {keep(path, path_size), {out->text + leaf_begin, size}};
  }

  void add_text(const char *data, uint32_t size) {
    if (out->text_room - out->text_size < size) return stop(RL_XML_TOO_LARGE);
    std::memcpy(out->text + out->text_size, data, size);
    out->text_size += size;
  }

  // Counts what an entity brings. False when that is too much.
  bool expand(const xmlEntity *entity) {
    uint64_t size = kEntityCost + (entity && entity->length > 0 ? static_cast<uint64_t>(entity->length) : 0);
    if (result == RL_XML_OK && size <= out->text_room - expanded) {
      expanded += static_cast<uint32_t>(size);
      return true;
    }
    stop(RL_XML_TOO_LARGE);
    return false;
  }
};

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0'; }

// Does some tag have more attributes than we let libxml2 compare with each other, which it does pair by pair? A tag
// ends before the next "<", which no attribute value may hold; in UTF-16 that byte may be half of anything, so there
// all count together.
bool crowded(rl_view body) {
  const bool wide = std::memchr(body.data, 0, body.size) != nullptr;
  const char *end = body.data + body.size;
  uint32_t count = 0;
  for (const char *at = body.data; at < end && count <= RL_XML_ATTRIBUTES;) {
    char c = *at++;
    if (c == '<' && !wide) count = 0;
    if (c != '=') continue;
    while (at < end && blank(*at)) ++at;
    count += at < end && (*at == '"' || *at == '\'');
  }
  return count > RL_XML_ATTRIBUTES;
}

XmlReader *reader(void *context) { return static_cast<XmlReader *>(context); }

void start_document(void *context) { xmlSAX2StartDocument(reader(context)->parser); }

void internal_subset(void *context, const xmlChar *name, const xmlChar *, const xmlChar *) {
  xmlSAX2InternalSubset(reader(context)->parser, name, nullptr, nullptr);
}

// External entities become empty ones of the document: there is nothing left that could be loaded.
void entity_decl(void *context, const xmlChar *name, int type, const xmlChar *public_id, const xmlChar *system_id,
                 xmlChar *content) {
  bool external = type == XML_EXTERNAL_GENERAL_PARSED_ENTITY || type == XML_EXTERNAL_PARAMETER_ENTITY;
  if (external) {
    type = type == XML_EXTERNAL_PARAMETER_ENTITY ? XML_INTERNAL_PARAMETER_ENTITY : XML_INTERNAL_GENERAL_ENTITY;
    public_id = system_id = nullptr;
    content = const_cast<xmlChar *>(empty());
  }
  xmlSAX2EntityDecl(reader(context)->parser, name, type, public_id, system_id, content);
}

xmlEntityPtr get_entity(void *context, const xmlChar *name) {
  xmlEntityPtr entity = xmlSAX2GetEntity(reader(context)->parser, name);
  return reader(context)->expand(entity) ? entity : nullptr;
}

xmlEntityPtr get_parameter_entity(void *context, const xmlChar *name) {
  xmlEntityPtr entity = xmlSAX2GetParameterEntity(reader(context)->parser, name);
  return reader(context)->expand(entity) ? entity : nullptr;
}

void start_element(void *context, const xmlChar *name, const xmlChar *, const xmlChar *, int, const xmlChar **,
                   int count, int defaulted, const xmlChar **attributes) {
  XmlReader *self = reader(context);
  if (self->result != RL_XML_OK) return;
  self->open(reinterpret_cast<const char *>(name));
  for (int i = 0; i < count - defaulted && self->result == RL_XML_OK; ++i) {
    const xmlChar *begin = attributes[5 * i + 3], *end = attributes[5 * i + 4];
    self->add_attribute(reinterpret_cast<const char *>(begin), static_cast<size_t>(end - begin));
  }
}

void end_element(void *context, const xmlChar *, const xmlChar *, const xmlChar *) {
  if (reader(context)->result == RL_XML_OK) reader(context)->close();
}

void characters(void *context, const xmlChar *text, int size) {
  if (reader(context)->result == RL_XML_OK && size > 0) {
    reader(context)->add_text(reinterpret_cast<const char *>(text), static_cast<uint32_t>(size));
  }
}

void ignore_error(void *, xmlErrorPtr) {}

xmlSAXHandler make_handler() {
  xmlSAXHandler handler = {};
  handler.initialized = XML_SAX2_MAGIC;
  handler.startDocument = start_document;
  handler.internalSubset = internal_subset;
  handler.entityDecl = entity_decl;
  handler.getEntity = get_entity;
  handler.getParameterEntity = get_parameter_entity;
  handler.startElementNs = start_element;
  handler.endElementNs = end_element;
  handler.characters = characters;
  handler.ignorableWhitespace = characters;
  handler.cdataBlock = characters;
  handler.serror = ignore_error;
  return handler;
}

struct FreeParser {
  void operator()(xmlParserCtxtPtr parser) const {
    if (parser->myDoc) xmlFreeDoc(parser->myDoc);
    xmlFreeParserCtxt(parser);
  }
};

}  // namespace
}  // namespace rl

int rl_xml_read(rl_xml *self, rl_view body) {
  static const bool initialised = (xmlInitParser(), true);
  (void)initialised;
  self->has_root = 0;
  self->text_size = self->values_size = self->attributes_count = self->arguments_count = 0;
  if (body.size == 0 || body.size > INT32_MAX) return body.size == 0 ? RL_XML_INVALID : RL_XML_TOO_LARGE;
  if (rl::crowded(body)) return RL_XML_TOO_LARGE;
  xmlSAXHandler handler = rl::make_handler();
  rl::XmlReader reader;
  reader.out = self;
  reader.result = RL_XML_OK;
  reader.depth = reader.expanded = reader.leaf_begin = 0;
  std::memcpy(reader.path, rl::kRoot, rl::kRootSize);
  reader.path_size = rl::kRootSize;
  std::unique_ptr<xmlParserCtxt, rl::FreeParser> parser(
      xmlCreatePushParserCtxt(&handler, &reader, body.data, static_cast<int>(body.size), nullptr));
  if (!parser) return RL_XML_TOO_LARGE;
  reader.parser = parser.get();
  xmlCtxtUseOptions(parser.get(), XML_PARSE_NOENT | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  xmlParseChunk(parser.get(), nullptr, 0, 1);
  if (reader.result != RL_XML_OK) return reader.result;
  return parser->wellFormed ? RL_XML_OK : RL_XML_INVALID;
}
