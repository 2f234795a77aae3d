//! How widely the optima of a star are sought: more so where no measurement tells its distance.

use super::options::StartOptions;

/// Limits of the search for starts and rivals of a star.
///
/// The optima of a star without a measured distance are stars of other luminosities (a dwarf for a giant, the
/// red clump for its branch), far from one another; local models promise up to 20 too little there. With the
/// narrow limits, 0.8 % of such stars missed a better optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Breadth {
    /// Most starting points.
    pub runs: usize,
    /// A candidate whose score is worse than the best by more than this is no start.
    pub window: f32,
    /// A rival is searched from where its prediction is worse than the first optimum by no more than this:
    /// its local model may promise too little.
    pub rivals: f64,
}

impl Breadth {
    /// By ϖ/σ: infinite where the distance is known, zero where nothing is.
    pub fn new(signal: f64, options: &StartOptions) -> Self {
        let (runs, window, rivals) = match signal > options.measured_distance {
            true => (options.runs, options.start_window, options.rival_window),
            // Never more narrowly than with a distance.
            false => (
                options.runs.max(options.runs_without_distance),
                options.start_window.max(options.start_window_without_distance),
                options.rival_window.max(options.rival_window_without_distance),
            ),
        };
        Self { runs, window: window as f32, rivals }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_with_unknown_distances_are_searched_more_widely() {
        let options = StartOptions { runs: 6, runs_without_distance: 10, ..StartOptions::default() };
        let runs = |signal: f64| Breadth::new(signal, &options).runs;
        assert_eq!([f64::INFINITY, 3.1, 2.9, 0.0, -4.0, f64::NAN].map(runs), [6, 6, 10, 10, 10, 10]);
        let many = StartOptions { runs: 12, ..options };
        assert_eq!(Breadth::new(0.0, &many).runs, 12);
    }
}
