//! The layout of queries, keys and values in a row.

/// Rows of packed queries, keys and values: (sequence, position, head, size) in row-major order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Positions per sequence.
    pub positions: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads: a divisor of `heads`; query head h uses key head
    /// ⌊h / (heads / `key_heads`)⌋.
    pub key_heads: usize,
    /// Elements per head.
    pub size: usize,
    /// The order of the heads.
    pub order: Order,
}

/// The order of heads in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// All query heads, all key heads, all value heads.
    Grouped,
    /// For each head its query, its key and its value, as in GPT-NeoX; as many key heads as query heads.
    Interleaved,
}

impl Heads {
    /// Number of query heads that share a key head.
    pub(crate) const fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    /// Elements per position: queries, keys and values.
    pub const fn row(&self) -> usize {
        (self.heads + 2 * self.key_heads) * self.size
    }

    /// Elements per position of the output.
    pub const fn output_row(&self) -> usize {
        self.heads * self.size
    }

    /// The start of query head `head` in a row.
    pub(crate) const fn query(&self, head: usize) -> usize {
        match self.order {
            Order::Grouped => head * self.size,
            Order::Interleaved => 3 * head * self.size,
        }
    }

    /// The start of key head `head` in a row.
    pub(crate) const fn key(&self, head: usize) -> usize {
        match self.order {
            Order::Grouped => (self.heads + head) * self.size,
            Order::Interleaved => (3 * head + 1) * self.size,
        }
    }

    /// The start of value head `head` in a row.
    pub(crate) const fn value(&self, head: usize) -> usize {
        match self.order {
            Order::Grouped => (self.heads + self.key_heads + head) * self.size,
            Order::Interleaved => (3 * head + 2) * self.size,
        }
    }
}
