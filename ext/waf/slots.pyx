from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.bytes.transform cimport rl_transform_classes
from ratelimitd._ext.waf.builder cimport Builder, bit_set, room
from ratelimitd._ext.waf.layout cimport waf_node, waf_slot, waf_source

from ratelimitd._ext.waf import blueprint as plan
from ratelimitd.waf.program import Operator


cdef void put_nodes(Builder builder) except *:
    nodes = builder.blueprint.nodes
    cdef waf_node *out = <waf_node *>room(builder.program, len(nodes) * sizeof(waf_node))
    cdef uint32_t i
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        out[i].kind = max(node.kind, 0)
        out[i].depth = node.depth
        out[i].end = node.end
        out[i].chain = node.chain
        out[i].chains = node.chains
        out[i].classes = rl_transform_classes(node.kind) if i else 0
        out[i].classes_below = out[i].classes
        for j in range(i + 1, node.end):
            out[i].classes_below |= out[<uint32_t>j].classes
        builder.program.most_depth = max(builder.program.most_depth, out[i].depth)
    builder.program.nodes = out
    builder.program.node_count = <uint32_t>len(nodes)


cdef void put_slot(Builder builder, waf_slot *out, slot) except *:
    blueprint = builder.blueprint
    batch = {index: i for i, index in enumerate(blueprint.batched)}
    out.group = slot.group
    out.batch = bit_set(builder.program, [batch[i] for i in slot.links], <uint32_t>len(blueprint.batched))
    for index in slot.links:
        operator = blueprint.links[index].operator
        for chain in blueprint.chains_of[index]:
            out.chains |= <uint64_t>1 << <int>chain
            if operator == Operator.DETECT_SQLI:
                out.sqli |= <uint64_t>1 << <int>chain
            elif operator == Operator.DETECT_XSS:
                out.xss |= <uint64_t>1 << <int>chain
            for kind in blueprint.chains[chain]:
                out.classes |= rl_transform_classes(kind)


cdef const waf_slot *slots_by_name(Builder builder, dict by_name, uint32_t count) except NULL:
    cdef waf_slot *made = <waf_slot *>room(builder.program, count * sizeof(waf_slot))
    cdef uint32_t i
    put_slot(builder, &made[0], by_name[0])
    for i in range(1, count):
        if i in by_name:
            put_slot(builder, &made[i], by_name[i])
        else:
            made[i] = made[0]
    return made


cdef void put_source(Builder builder, waf_source *out, int source) except *:
    both = [builder.blueprint.slots.get((source, is_name), {0: plan.Slot()}) for is_name in (False, True)]
    out.wanted = any(slot.links for by_name in both for slot in by_name.values())
    out.named = any(len(by_name) > 1 for by_name in both)
    count = len(builder.blueprint.names) + 1 if out.named else 1
    out.values = slots_by_name(builder, both[0], count)
    out.names = slots_by_name(builder, both[1], count)
