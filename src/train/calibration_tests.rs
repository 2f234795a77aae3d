use super::super::pairs::tests::sample;
use super::*;

/// A field over the labels of which a part changes within a kind of stars.
#[test]
fn a_kind_of_stars_shares_the_part_of_a_field_that_does_not_change_within_it() {
    let of = |slow: f64, fast: f64, seed: u64| {
        let (mut stars, labels) = sample(6000, slow, seed);
        for (row, star) in stars.iter_mut().enumerate() {
            // A kind is some 0.45 wide here, the nearest neighbours 0.15.
            let field = fast * std::f64::consts::SQRT_2 * (2.0 * std::f64::consts::PI / 0.45 * labels[[row, 0]]).sin();
            (0..2).for_each(|i| star.weighted[i] += field * star.weight[2 * i]);
        }
        ZeroPoints::of(&Region::whole(&labels), &stars, &Pairs::of(&labels)).unwrap()
    };
    let (slow, both, none) = (of(0.3, 0.0, 1), of(0.3, 0.4, 2), of(0.0, 0.0, 3));
    for (name, found) in [("slow", &slow), ("both", &both), ("none", &none)] {
        println!(
            "{name}: {:.4} \u{b1} {:.4}, shared {:.4}",
            found.covariance[(0, 0)],
            found.standard_error[(0, 0)],
            found.shared[(0, 0)]
        );
        let own = (&found.covariance - &found.shared).symmetric_eigenvalues().min();
        assert!(own > -1e-9, "{name}: {own}");
    }
    assert!((slow.shared[(0, 0)] - 0.09).abs() < 0.03 && slow.covariance[(0, 0)] < 0.15);
    assert!(both.covariance[(0, 0)] > 0.15 && both.shared[(0, 0)] < 0.13, "what changes within a kind is not shared");
    assert!(none.shared[(0, 0)] < 0.012, "{:?}", none.shared);
}

#[test]
fn an_expectation_of_a_variance_is_not_negative() {
    let matrix = DMatrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, -1.0]);
    let scale = DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 100.0]);
    let found = not_negative_part(matrix, &scale).unwrap();
    assert!((found - DMatrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, 0.0])).amax() < 1e-12);
    assert!(not_negative_part(DMatrix::identity(2, 2), &DMatrix::zeros(2, 2)).is_none());
}
