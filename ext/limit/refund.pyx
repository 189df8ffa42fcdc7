from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.limit.lease cimport is_leased
from ratelimitd._ext.limit.shard cimport SLOT_KIND_SHIFT, SLOT_NEAR, counter_shard, counter_slot, counter_sync, shard_find, spin_lock, spin_unlock
from ratelimitd._ext.limit.sketch cimport sketch_estimate
from ratelimitd._ext.limit.sync cimport sync_roll
from ratelimitd._ext.limit.table cimport TABLE_LOCAL, table_get_shards, table_shards
from ratelimitd._ext.limit.window cimport window_clock, window_init, window_number, window_peek, window_refund, window_state


cdef void give_back(counter_shard *shard, counter_slot *slot, const table_hit *hit, int64_t now_ms) noexcept nogil:
    cdef uint32_t at = <uint32_t>(slot - shard.slots)
    cdef counter_sync *side
    if shard.sync == NULL or hit.consistency == TABLE_LOCAL:
        window_refund(hit.rule, &slot.state, now_ms, hit.cost, NULL, 0)
        return
    side = &shard.sync[at]
    if not is_leased(shard, at):    # those roll with what is granted
        sync_roll(side, slot.meta >> SLOT_KIND_SHIFT, window_number(hit.rule, now_ms))
    window_refund(hit.rule, &slot.state, now_ms, hit.cost, &side.own[0], side.number)


cdef void refund(counter_table *table, table_hit *hit, int64_t now_ms) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef counter_shard *shard = &shards.list[hit.digest.lo >> 1 >> shards.shift]
    cdef counter_slot *slot
    cdef window_state fresh
    now_ms = window_clock(now_ms)
    spin_lock(&shard.lock)
    slot = shard_find(shard, &hit.digest)
    if slot != NULL:
        give_back(shard, slot, hit, now_ms)
        window_peek(hit.rule, &slot.state, now_ms, 0, &hit.view)
        if hit.view.used * 5 < <uint64_t>hit.rule.limit * 4:
            slot.meta &= ~<uint32_t>SLOT_NEAR
    else:                           # the sketch's cells are shared and may not be lowered
        window_init(hit.rule, &fresh, now_ms, sketch_estimate(&shard.sketch, &hit.digest, now_ms))
        window_peek(hit.rule, &fresh, now_ms, 0, &hit.view)
    spin_unlock(&shard.lock)
    hit.view.over = hit.lost = 0
