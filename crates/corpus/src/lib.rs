//! Documents, shards, cleaning, deduplication, tokenizers, token shards, data order.
