//! How widely the optima of a star are sought: more so where little tells them apart.

use super::options::StartOptions;

/// Limits of the search for starts and rivals of a star.
///
/// The optima of a star without a measured distance are stars of other luminosities (a dwarf for a giant, the
/// red clump for its branch), far from one another; local models promise up to 20 too little there. With the
/// narrow limits, 0.8 % of such stars missed a better optimum. From a dozen magnitudes, labels and dust stand
/// for one another along valleys with several optima each: narrow limits missed 0.2 % of ordinary stars.
///
/// All windows are meant for stars that the model fits. Where it does not, differences of −2 ln P are as much
/// larger as −2 ln P itself, and so are the windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Breadth {
    /// Draws that are worse than the best by more than this are left out, …
    pub draws: f32,
    /// … and this many of the others are moved towards their optima.
    pub candidates: usize,
    /// Most starting points.
    pub runs: usize,
    /// A candidate whose score is worse than the best by more than this is no start.
    pub window: f32,
    /// A rival is searched from where its prediction is worse than the first optimum by no more than this, of
    /// a star that the model fits: its local model may promise too little.
    rivals: f64,
    n_fluxes: usize,
}

impl Breadth {
    /// By ϖ/σ (infinite where the distance is known, zero where nothing is), and the number of measured
    /// fluxes.
    pub fn new(signal: f64, n_fluxes: usize, options: &StartOptions) -> Self {
        let narrow = Self {
            draws: options.window as f32,
            candidates: options.candidates,
            runs: options.runs,
            window: options.start_window as f32,
            rivals: options.rival_window,
            n_fluxes,
        };
        match signal > options.measured_distance {
            _ if n_fluxes < options.few_fluxes => narrow.without_distance(options).with_few_fluxes(options),
            true => narrow,
            // `NaN` too.
            false => narrow.without_distance(options),
        }
    }

    /// Never more narrowly than with a distance.
    fn without_distance(self, options: &StartOptions) -> Self {
        Self {
            draws: self.draws.max(options.window_without_distance as f32),
            candidates: self.candidates.max(options.candidates_without_distance),
            runs: self.runs.max(options.runs_without_distance),
            window: self.window.max(options.start_window_without_distance as f32),
            rivals: self.rivals.max(options.rival_window_without_distance),
            ..self
        }
    }

    fn with_few_fluxes(self, options: &StartOptions) -> Self {
        Self {
            draws: self.draws.max(options.window_of_few_fluxes as f32),
            candidates: self.candidates.max(options.candidates_of_few_fluxes),
            runs: self.runs.max(options.runs_of_few_fluxes),
            window: self.window.max(options.start_window_of_few_fluxes as f32),
            rivals: self.rivals.max(options.rival_window_of_few_fluxes),
            ..self
        }
    }

    /// How much worse than the first optimum, of this −2 ln P, a rival's prediction may be.
    pub fn rivals(&self, loss: f64) -> f64 {
        self.rivals * excess(loss, self.n_fluxes)
    }

    /// That of a star whose −2 ln P is larger by a factor of `excess` than it should be.
    pub fn of_poor_fit(self, excess: f64, options: &StartOptions) -> Self {
        let wide = self.without_distance(options);
        let draws = wide.draws.max(options.window_of_poor_fits as f32);
        Self {
            draws: draws * excess as f32,
            window: wide.window * excess as f32,
            candidates: wide.candidates.max(options.candidates_of_poor_fits),
            runs: wide.runs.max(options.runs_of_poor_fits),
            ..wide
        }
    }
}

/// How many times larger than expected −2 ln P of a star with `n` data is, at least 1: a good fit stays
/// within three times its scatter.
pub(super) fn excess(loss: f64, n: usize) -> f64 {
    let n = n as f64;
    (loss / (n + 3.0 * (2.0 * n).sqrt()).max(1.0)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_with_unknown_distances_are_searched_more_widely() {
        let options =
            StartOptions { runs: 6, runs_without_distance: 10, candidates_without_distance: 24, ..StartOptions::default() };
        let runs = |signal: f64| Breadth::new(signal, 61, &options).runs;
        assert_eq!([f64::INFINITY, 3.1, 2.9, 0.0, -4.0, f64::NAN].map(runs), [6, 6, 10, 10, 10, 10]);
        let candidates = |signal: f64| Breadth::new(signal, 61, &options).candidates;
        assert_eq!([3.1, 2.9].map(candidates), [16, 24]);
        let many = StartOptions { runs: 12, ..options };
        assert_eq!(Breadth::new(0.0, 61, &many).runs, 12);
    }

    #[test]
    fn stars_with_few_fluxes_are_searched_more_widely_still() {
        let options = StartOptions::default();
        let breadth = Breadth::new(f64::INFINITY, 19, &options);
        assert_eq!((breadth.runs, breadth.candidates, breadth.draws, breadth.window), (32, 64, 200.0, 100.0));
        assert_eq!(breadth.rivals(10.0), options.rival_window_of_few_fluxes);
        let many = Breadth::new(f64::INFINITY, 20, &options);
        assert_eq!(many.candidates, options.candidates);
        let poor = many.of_poor_fit(2.0, &options);
        assert_eq!((poor.runs, poor.candidates, poor.draws, poor.window), (16, 32, 120.0, 120.0));
        assert_eq!(breadth.of_poor_fit(2.0, &options).draws, 400.0);
        assert_eq!([options.draws_of(19), options.draws_of(20)], [4096, 768]);
    }

    #[test]
    fn windows_of_poor_fits_grow_with_their_loss() {
        assert_eq!([0.0, 50.0, 60.0, f64::NEG_INFINITY].map(|loss| excess(loss, 32)), [1.0, 1.0, 60.0 / 56.0, 1.0]);
        assert_eq!(excess(7.0, 0), 7.0);
    }
}
