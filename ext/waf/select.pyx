from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcmp, strlen

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.collection cimport collection_look
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.layout cimport WAF_LITERAL, waf_field, waf_item, waf_link, waf_scratch, waf_selector, waf_value
from ratelimitd._ext.waf.fields cimport computed, joined
from ratelimitd._ext.waf.operate cimport finds
from ratelimitd._ext.waf.store cimport collection_of, store_at, value_text

cdef rl_view NOTHING = rl_view("", 0)


cdef char lower(char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef bint same_name(rl_view name, rl_view wanted) noexcept nogil:
    """wanted is lower-case."""
    cdef uint32_t i
    if name.size != wanted.size:
        return False
    for i in range(name.size):
        if lower(name.data[i]) != wanted.data[i]:
            return False
    return True


cdef bint starts_with(rl_view text, rl_view start) noexcept nogil:
    return text.size >= start.size and memcmp(text.data, start.data, start.size) == 0


cdef bint selector_holds(waf_scratch *scratch, const waf_selector *selector, rl_view name) noexcept nogil:
    if selector.regex != NULL:
        return finds(scratch, selector.regex, name)
    return selector.name.size == 0 or same_name(name, selector.name)


cdef uint32_t sources_of(uint16_t variable, uint16_t *sources, bint *names) noexcept nogil:
    """The sources that a variable draws from; 0: it is computed."""
    names[0] = False
    sources[0] = variable
    if variable < WAF_SOURCES:
        return 1
    names[0] = True
    if variable == WAF_ARGS or variable == WAF_ARGS_NAMES:
        names[0] = variable == WAF_ARGS_NAMES
        sources[0] = WAF_ARGS_GET
        sources[1] = WAF_ARGS_POST
        return 2
    if variable == WAF_ARGS_GET_NAMES:
        sources[0] = WAF_ARGS_GET
    elif variable == WAF_ARGS_POST_NAMES:
        sources[0] = WAF_ARGS_POST
    elif variable == WAF_REQUEST_HEADERS_NAMES:
        sources[0] = WAF_REQUEST_HEADERS
    elif variable == WAF_REQUEST_COOKIES_NAMES:
        sources[0] = WAF_REQUEST_COOKIES
    elif variable == WAF_RESPONSE_HEADERS_NAMES:
        sources[0] = WAF_RESPONSE_HEADERS
    else:
        return 0
    return 1


cdef bint variable_covers(uint16_t variable, uint16_t source, bint is_name) noexcept nogil:
    cdef uint16_t sources[2]
    cdef bint names
    cdef uint32_t count = sources_of(variable, sources, &names)
    return names == is_name and (count > 0 and sources[0] == source or count > 1 and sources[1] == source)


cdef bint is_store(uint16_t variable) noexcept nogil:
    return WAF_TX <= variable <= WAF_GEO


cdef void cursor_start(waf_scratch *scratch, const waf_selector *selector, uint32_t limit, waf_cursor *cursor) noexcept nogil:
    cdef bint names
    cursor.selector = selector
    cursor.at = cursor.source = 0
    cursor.limit = limit
    cursor.source_count = sources_of(selector.variable, cursor.sources, &names)
    cursor.is_name = names


cdef bint field_next(waf_scratch *scratch, waf_cursor *cursor, waf_item *item) noexcept nogil:
    cdef const waf_selector *selector = cursor.selector
    cdef const waf_field *field
    while True:
        while cursor.at == 0:
            if cursor.source == cursor.source_count:
                return False
            cursor.at = scratch.sources[cursor.sources[cursor.source]].first
            cursor.source += 1
        field = &scratch.fields[cursor.at - 1]
        cursor.at = field.next
        if selector.name_id:
            if field.name_id != selector.name_id:
                continue
        elif selector.regex != NULL and not selector_holds(scratch, selector, field.name):
            continue
        item.variable = selector.variable
        item.name = field.name
        item.value = field.name if cursor.is_name else field.value
        return True


cdef bint store_next(waf_scratch *scratch, waf_cursor *cursor, waf_item *item) noexcept nogil:
    """A named variable, or all of a collection whose names the selector holds: the program's own first."""
    cdef const waf_selector *selector = cursor.selector
    cdef rl_view collection = collection_of(selector.variable)
    cdef rl_view name
    cdef waf_value *value
    cdef uint32_t index
    if cursor.at == 0:
        collection_look(scratch, selector.variable)
    if selector.name.size:
        if cursor.at:
            return False
        cursor.at = 1
        value = store_at(scratch, selector.slot, selector.name, False)
        if value == NULL or not value.set:
            return False
        item.variable = selector.variable
        item.name.data = selector.name.data + collection.size
        item.name.size = selector.name.size - collection.size
        item.value = value_text(scratch, value)
        return True
    while cursor.at < scratch.program.store_count + scratch.dynamic_count:
        index = cursor.at
        cursor.at += 1
        if index < scratch.program.store_count:
            name = scratch.program.store_names[index]
            value = &scratch.store[index]
        else:
            index = scratch.dynamic_order[index - scratch.program.store_count]
            name = scratch.dynamic[index].name
            value = &scratch.dynamic[index].value
        if not value.set or not starts_with(name, collection):
            continue
        name.data += collection.size
        name.size -= collection.size
        if not selector_holds(scratch, selector, name):
            continue
        item.variable = selector.variable
        item.name = name
        item.value = value_text(scratch, value)
        return True
    return False


cdef bint matched_next(waf_scratch *scratch, waf_cursor *cursor, waf_item *item) noexcept nogil:
    cdef uint16_t variable = cursor.selector.variable
    cdef bint one = variable == WAF_MATCHED_VAR or variable == WAF_MATCHED_VAR_NAME
    cdef const waf_item *matched
    if cursor.limit == 0 or cursor.at == (1 if one else cursor.limit):
        return False
    matched = &scratch.matched[cursor.limit - 1 if one else cursor.at]
    cursor.at += 1
    item[0] = matched[0]
    if variable == WAF_MATCHED_VAR_NAME or variable == WAF_MATCHED_VARS_NAMES:
        item.value = item_name(scratch, matched)
    return True


cdef bint cursor_next(waf_scratch *scratch, waf_cursor *cursor, waf_item *item) noexcept nogil:
    cdef uint16_t variable = cursor.selector.variable
    if cursor.source_count:
        return field_next(scratch, cursor, item)
    if is_store(variable):
        return store_next(scratch, cursor, item)
    if WAF_MATCHED_VAR <= variable <= WAF_MATCHED_VARS_NAMES:
        return matched_next(scratch, cursor, item)
    if cursor.at:
        return False
    cursor.at = 1
    item.variable = variable
    item.name = NOTHING
    return computed(scratch, variable, &item.value)


cdef int64_t selector_count(waf_scratch *scratch, const waf_selector *selector, uint32_t limit) noexcept nogil:
    cdef waf_cursor cursor
    cdef waf_item item
    cdef int64_t count = 0
    cursor_start(scratch, selector, limit, &cursor)
    while cursor_next(scratch, &cursor, &item):
        count += 1
    return count


cdef bint item_excluded(waf_scratch *scratch, const waf_link *link, uint32_t index, const waf_item *item) noexcept nogil:
    cdef uint32_t i
    cdef const waf_selector *selector
    for i in range(link.exclude_count):
        selector = &link.excludes[i]
        if selector.variable == item.variable and selector_holds(scratch, selector, item.name):
            return True
    for i in range(scratch.removal_count):
        if scratch.removals[i].rules[index >> 6] >> (index & 63) & 1:
            selector = scratch.removals[i].selector
            if selector.variable == item.variable and selector_holds(scratch, selector, item.name):
                return True
    return False


cdef rl_view item_name(waf_scratch *scratch, const waf_item *item) noexcept nogil:
    cdef rl_view name
    if item.variable == WAF_LITERAL:
        return NOTHING
    name = rl_view(waf_variable_names[item.variable], <uint32_t>strlen(waf_variable_names[item.variable]))
    if item.name.size == 0:
        return name
    return joined(scratch, name, rl_view(":", 1), item.name)
