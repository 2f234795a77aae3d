//! Label space: labels in their scales, nearest controls, and whether they surround a star.

use kdtree::KdTree;
use kdtree::distance::squared_euclidean;

/// Steps of the search for a plane between a star and its neighbours.
const STEPS: usize = 200;

/// Controls by their coordinates, labels over scales.
#[derive(Debug)]
pub struct LabelSpace {
    tree: KdTree<f64, usize, Vec<f64>>,
    points: Vec<Vec<f64>>,
    ids: Vec<i64>,
}

/// The neighbours of a star, nearest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Neighbourhood {
    /// Positions among the controls.
    pub rows: Vec<usize>,
    /// Coordinates less those of the star.
    pub offsets: Vec<Vec<f64>>,
    /// Weights by distance (tricube), zero at the farthest.
    pub kernel: Vec<f64>,
    /// Distance of the nearest.
    pub nearest: f64,
}

impl LabelSpace {
    /// Of points, all of `dimensions` coordinates; those that are not finite are never found.
    pub fn new(dimensions: usize, points: Vec<Vec<f64>>, ids: Vec<i64>) -> Self {
        let mut tree = KdTree::new(dimensions);
        for (row, point) in points.iter().enumerate() {
            // Refused are points that are not finite, or of other dimensions.
            let _ = tree.add(point.clone(), row);
        }
        Self { tree, points, ids }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The `count` points nearest to `centre`, those of the star `id` itself not among them.
    pub fn around(&self, centre: &[f64], count: usize, id: i64) -> Neighbourhood {
        let found = self.tree.nearest(centre, count + 1, &squared_euclidean).unwrap_or_default();
        let others = found.into_iter().map(|(square, &row)| (square.sqrt(), row)).filter(|&(_, row)| self.ids[row] != id);
        let mut others: Vec<(f64, usize)> = others.take(count).collect();
        // Of equal distance in the order of the file, whatever the tree's.
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let farthest = others.last().map_or(0.0, |(distance, _)| *distance).max(f64::MIN_POSITIVE);
        let tricube = |distance: f64| (1.0 - (distance / farthest).powi(3)).max(0.0).powi(3);
        let all_alike = others.first().is_some_and(|(distance, _)| *distance >= farthest);
        Neighbourhood {
            kernel: others.iter().map(|&(distance, _)| if all_alike { 1.0 } else { tricube(distance) }).collect(),
            offsets: others
                .iter()
                .map(|&(_, row)| self.points[row].iter().zip(centre).map(|(point, centre)| point - centre).collect())
                .collect(),
            nearest: others.first().map_or(f64::INFINITY, |(distance, _)| *distance),
            rows: others.into_iter().map(|(_, row)| row).collect(),
        }
    }
}

impl Neighbourhood {
    /// Whether the star lies in the convex hull of its neighbours, as far as no plane was found that has all
    /// of them on one side (Gilbert 1966: the point of the hull nearest to the star).
    pub fn surrounds(&self) -> bool {
        let Some(first) = self.offsets.first() else { return false };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let largest = self.offsets.iter().map(|point| dot(point, point)).fold(0.0, f64::max);
        let n = self.offsets.len() as f64;
        let mut nearest: Vec<f64> =
            (0..first.len()).map(|axis| self.offsets.iter().map(|point| point[axis]).sum::<f64>() / n).collect();
        for _ in 0..STEPS {
            let lowest = self.offsets.iter().min_by(|a, b| dot(&nearest, a).total_cmp(&dot(&nearest, b)));
            let Some(lowest) = lowest else { return false };
            if dot(&nearest, lowest) > 1e-12 * largest {
                return false;
            }
            let step: Vec<f64> = lowest.iter().zip(&nearest).map(|(to, from)| to - from).collect();
            let length = dot(&step, &step);
            if length <= 1e-24 * largest {
                return true;
            }
            let part = (-dot(&nearest, &step) / length).clamp(0.0, 1.0);
            nearest.iter_mut().zip(&step).for_each(|(value, step)| *value += part * step);
            if dot(&nearest, &nearest) <= 1e-12 * largest {
                return true;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    fn cloud(n: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| (0..3).map(|_| rng.gen_range(-1.0..1.0)).collect()).collect()
    }

    #[test]
    fn the_nearest_are_found_without_the_star_itself() {
        let points = cloud(500, 1);
        let space = LabelSpace::new(3, points.clone(), (0..500).collect());
        let found = space.around(&points[7], 20, 7);
        let mut expected: Vec<(f64, usize)> =
            (0..500).filter(|&row| row != 7).map(|row| (squared_euclidean(&points[7], &points[row]).sqrt(), row)).collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(found.rows, expected[..20].iter().map(|(_, row)| *row).collect::<Vec<_>>());
        assert!((found.nearest - expected[0].0).abs() < 1e-15 && found.kernel[0] > 0.5 && found.kernel[19] == 0.0);
        let empty = LabelSpace::new(3, Vec::new(), Vec::new()).around(&[0.0; 3], 5, 0);
        assert!(empty.rows.is_empty() && empty.nearest.is_infinite() && !empty.surrounds());
        let alike = LabelSpace::new(1, vec![vec![1.0]; 9], (0..9).collect()).around(&[0.5], 5, 99);
        assert_eq!(alike.kernel, [1.0; 5]);
        let odd = LabelSpace::new(1, vec![vec![f64::NAN], vec![2.0]], vec![1, 2]);
        assert_eq!(odd.around(&[0.5], 5, 99).rows, [1]);
        assert!(odd.around(&[f64::NAN], 5, 99).rows.is_empty());
    }

    /// SciPy 1.17.1's linear programme for the same question agrees by construction: inside are means of the
    /// points, outside is what is farther than all in a direction.
    #[test]
    fn hulls_hold_means_of_points_and_nothing_beyond() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for seed in 0..50 {
            let points = cloud(40, seed);
            let around = |centre: &[f64]| LabelSpace::new(3, points.clone(), (0..40).collect()).around(centre, 40, -1);
            let weights: Vec<f64> = (0..40).map(|_| rng.gen_range(0.0..1.0)).collect();
            let whole: f64 = weights.iter().sum();
            let mean: Vec<f64> =
                (0..3).map(|k| points.iter().zip(&weights).map(|(p, w)| w * p[k]).sum::<f64>() / whole).collect();
            assert!(around(&mean).surrounds(), "{seed}");
            let direction: Vec<f64> = (0..3).map(|_| rng.gen_range(-1.0..1.0)).collect();
            let reach = |p: &[f64]| p.iter().zip(&direction).map(|(p, d)| p * d).sum::<f64>();
            let farthest = points.iter().max_by(|a, b| reach(a).total_cmp(&reach(b))).unwrap();
            let beyond: Vec<f64> = farthest.iter().zip(&direction).map(|(p, d)| p + 0.05 * d).collect();
            assert!(!around(&beyond).surrounds(), "{seed}");
        }
    }
}
