// What ModSecurity 3.0.15's rules see of an XML body: XML:/* (the text of the root element), XML://@* (the attribute
// values) and the arguments of SecParseXmlIntoArgs. Read by libxml2 without network, without external entities, bounded
// in depth, in what entities expand to and in what is made of it. Unlike the other readers this one allocates, for
// libxml2 does.
#pragma once
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  RL_XML_OK = 0,
  RL_XML_INVALID = -1,    // not well-formed (REQBODY_ERROR); what was found until then is there
  RL_XML_TOO_LARGE = -2,  // out of room, too many attributes, or entities expand to more than text_room bytes
  RL_XML_DEEP = -3,       // more than RL_XML_DEPTH levels
};

enum {
  RL_XML_DEPTH = 257,        // libxml2's own for documents
  RL_XML_ATTRIBUTES = 2048,  // of one element; about that, in other encodings than UTF-8's kin
};

typedef struct rl_xml {
  // Brought by the caller.
  char *text;
  uint32_t text_room;
  char *values;  // attribute values, and names and values of arguments
  uint32_t values_room;
  rl_view *attributes;
  uint32_t attributes_room;
  rl_pair *arguments;  // with a room of 0 none are made
  uint32_t arguments_room;

  // Found. Views are into text and values.
  uint8_t has_root;  // XML:/* has a value, even an empty one
  uint32_t text_size;
  uint32_t values_size;
  uint32_t attributes_count;
  uint32_t arguments_count;  // "xml.a.b" for each element without elements
} rl_xml;

// Reads a body. Entities declared in the document are expanded; those of elements give their attributes, too, which
// ModSecurity does not see. External ones are empty.
int rl_xml_read(rl_xml *self, rl_view body);

#ifdef __cplusplus
}
#endif
