//! How widely the optima of a star are sought: more so where no measurement tells its distance.

use super::options::StartOptions;

/// Limits of the search for starts and rivals of a star.
///
/// The optima of a star without a measured distance are stars of other luminosities (a dwarf for a giant, the red clump for its branch), far from one another; local
/// models promise up to 20 too little there. With the narrow limits, 0.8 % of such stars missed a better optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Breadth {
    /// Most starting points.
    pub runs: usize,
    /// A candidate whose score is worse than the best by more than this is no start.
    pub candidates: f32,
    /// A rival is searched from where its prediction is worse than the first optimum by no more than this: its local model may promise too
    /// little.
    pub rivals: f64,
}

impl Breadth {
    /// By whether the distance is measured.
    pub fn new(has_distance: bool, options: &StartOptions) -> Self {
        match has_distance {
            true => Self { runs: options.runs, candidates: 16.0, rivals: 5.0 },
            false => Self { runs: options.runs.max(options.runs_without_distance), candidates: 30.0, rivals: 20.0 },
        }
    }
}
