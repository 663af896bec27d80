/* SPDX-License-Identifier: Apache-2.0
 *
 * Each posting's hash covers its content and the hash before it, so the newest hash covers the
 * whole ledger. The byte form is written down in billing/README.md. Every text has its length in
 * front: without it, ("ab", "c") and ("a", "bc") would be the same bytes.
 */
#include "billing/ledger_chain.h"

#include <string.h>

static const char domain[] = "drover ledger posting 1\n";

int ledger_chain_compare_legs(const void *a, const void *b)
{
    const Leg *x = a;
    const Leg *y = b;
    int order = strcmp(x->account, y->account);

    if (order != 0)
        return order;
    if (x->asset != y->asset)
        return x->asset < y->asset ? -1 : 1;
    return x->amount < y->amount ? -1 : x->amount > y->amount;
}

static void add_bytes(GByteArray *bytes, const void *data, size_t size)
{
    g_byte_array_append(bytes, data, (guint)size);
}

static void add_int64(GByteArray *bytes, int64_t number)
{
    int64_t big_endian = GINT64_TO_BE(number);

    add_bytes(bytes, &big_endian, sizeof big_endian);
}

static void add_text(GByteArray *bytes, const char *text)
{
    size_t length = strlen(text);

    add_int64(bytes, (int64_t)length);
    add_bytes(bytes, text, length);
}

void ledger_chain_hash(const uint8_t previous[LEDGER_HASH_SIZE], const ChainPosting *chained,
                       uint8_t hash[LEDGER_HASH_SIZE])
{
    const Posting *posting = &chained->posting;
    g_autoptr(GByteArray) bytes = g_byte_array_sized_new(512);
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    gsize size = LEDGER_HASH_SIZE;

    add_bytes(bytes, domain, strlen(domain));
    add_bytes(bytes, previous, LEDGER_HASH_SIZE);
    add_int64(bytes, chained->seq);
    add_text(bytes, posting->id);
    add_text(bytes, chained->job);
    add_int64(bytes, posting->at_ms);
    add_text(bytes, posting->memo);
    add_int64(bytes, (int64_t)posting->legs_count);
    for (size_t i = 0; i < posting->legs_count; i++) {
        add_text(bytes, posting->legs[i].account);
        add_text(bytes, money_asset_name(posting->legs[i].asset));
        add_int64(bytes, posting->legs[i].amount);
    }
    g_checksum_update(sha256, bytes->data, (gssize)bytes->len);
    g_checksum_get_digest(sha256, hash, &size);
}
