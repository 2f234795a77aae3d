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

/// A parameter that a few stars have, none beside another, would make K of the others unknown too.
#[test]
fn parameters_of_too_few_pairs_are_left_out() {
    let error = |star: usize| if star.is_multiple_of(40) { vec![0.1, 0.1] } else { vec![0.1, f64::INFINITY] };
    let of = |star: usize| Comparison { flux: vec![0.0; 4], pull: vec![0.0; 2], error: error(star) };
    let compared: Vec<Comparison> = (0..400).map(of).collect();
    let pairs: Vec<(usize, usize)> = (0..399).map(|star| (star, star + 1)).collect();
    assert_eq!(told_by_pairs(&compared, &pairs, &[0, 1]), [0]);
    let of_the_few: Vec<(usize, usize)> = (0..10).flat_map(|i| (0..i).map(move |j| (40 * j, 40 * i))).collect();
    assert_eq!(told_by_pairs(&compared, &[pairs, of_the_few].concat(), &[0, 1]), [0, 1]);
}

#[test]
fn an_expectation_of_a_variance_is_not_negative() {
    let matrix = DMatrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, -1.0]);
    let scale = DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 100.0]);
    let found = not_negative_part(matrix, &scale).unwrap();
    assert!((found - DMatrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, 0.0])).amax() < 1e-12);
    assert!(not_negative_part(DMatrix::identity(2, 2), &DMatrix::zeros(2, 2)).is_none());
}
