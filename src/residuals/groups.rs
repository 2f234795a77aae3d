//! Which entries of a data vector have an offset in common.

use crate::observations::Grid;

/// Entries that are no XP samples are judged one by one if they are no more than this: bands. More are
/// pixels.
const MOST_BANDS: usize = 32;
/// Blocks of the pixels of spectra.
const PIXEL_BLOCKS: usize = 16;
/// Between the blocks of XP samples, nm: the halves of BP and RP.
const XP_EDGES: [f64; 3] = [490.0, 640.0, 830.0];

/// Groups of the entries of a data vector: every photometric band by itself, XP samples in the halves of BP
/// and RP, pixels of spectra in 16 blocks of as many pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// `[G]`: the band's name, or the first and the last wavelength of a block (nm).
    pub names: Vec<String>,
    /// The group of every entry `[W]`.
    pub of_entry: Vec<usize>,
}

impl Groups {
    /// The groups of a data vector.
    pub fn of(grid: &Grid) -> Self {
        let n_xp = grid.n_xp_samples();
        let mut groups = Self { names: Vec::new(), of_entry: Vec::new() };
        let xp_block = |entry: usize| XP_EDGES.iter().filter(|edge| grid.wavelength[entry] >= **edge).count();
        for block in 0..=XP_EDGES.len() {
            let entries: Vec<usize> = (0..n_xp).filter(|&entry| xp_block(entry) == block).collect();
            groups.push_block(grid, "xp_", &entries);
        }
        let others: Vec<usize> = (n_xp..grid.len()).collect();
        if others.len() <= MOST_BANDS {
            for entry in others {
                groups.set(entry, groups.names.len());
                groups.names.push(grid.names[entry].clone());
            }
        } else {
            let length = others.len().div_ceil(PIXEL_BLOCKS);
            others.chunks(length).for_each(|entries| groups.push_block(grid, "", entries));
        }
        groups
    }

    fn push_block(&mut self, grid: &Grid, prefix: &str, entries: &[usize]) {
        let (Some(&first), Some(&last)) = (entries.first(), entries.last()) else { return };
        entries.iter().for_each(|&entry| self.set(entry, self.names.len()));
        self.names.push(format!("{prefix}{:.0}-{:.0}", grid.wavelength[first], grid.wavelength[last]));
    }

    fn set(&mut self, entry: usize, group: usize) {
        self.of_entry.resize(self.of_entry.len().max(entry + 1), 0);
        self.of_entry[entry] = group;
    }

    /// Number of groups G.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
