//! One of n parts of all stars, or of all partitions, for job arrays.

use crate::observations::{columns, hash64};
use crate::table::Table;
use std::str::FromStr;

/// Seed of the hash, so that shards are independent of the validation split.
const SEED: u64 = 1;

/// Part `index` of `count`: the stars whose hashed identifier is `index` modulo `count`, or the partitions
/// whose position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            let shard = Self { index: index.trim().parse().ok()?, count: count.trim().parse().ok()? };
            (shard.index < shard.count).then_some(shard)
        };
        parse().ok_or_else(|| "expected i/n with 0 ≤ i < n, as in 0/8".into())
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// Whether a star belongs to this part.
    pub fn contains(self, id: i64) -> bool {
        hash64(id, SEED) % self.count == self.index
    }

    /// Whether the partition at a position belongs to this part. Neighbours on the sky, which are alike in
    /// size, go to different parts.
    pub fn contains_partition(self, position: usize) -> bool {
        position as u64 % self.count == self.index
    }

    /// The stars of a table that belong to this part.
    ///
    /// # Errors
    /// When the table has no identifiers.
    pub fn select(self, table: Table) -> crate::error::Result<Table> {
        let ids = table.column(columns::ID)?.to_i64()?;
        let rows: Vec<usize> = (0..ids.len()).filter(|&row| self.contains(ids[row])).collect();
        Ok(table.select(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_star_is_in_one_shard() {
        let shards: Vec<Shard> = (0..4).map(|index| format!("{index}/4").parse().unwrap()).collect();
        for id in (0..1000).map(|id: i64| id << 35) {
            assert_eq!(shards.iter().filter(|shard| shard.contains(id)).count(), 1);
        }
        for bad in ["4/4", "-1/4", "1", "0/0", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
