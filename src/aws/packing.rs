//! Packs items into batch requests, within the service's limits.

use std::ops::Range;

/// Splits items of these sizes (bytes), in order, into runs of at most `count_max` items and `bytes_max`
/// bytes. An item over `bytes_max` gets a run of its own, which the service will refuse.
pub(crate) fn pack(sizes: &[usize], count_max: usize, bytes_max: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, size) in sizes.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.len() < count_max && bytes + size <= bytes_max => {
                run.end = at + 1;
                bytes += size;
            }
            _ => {
                runs.push(at..at + 1);
                bytes = *size;
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fills_each_request() {
        assert!(pack(&[], 3, 10).is_empty());
        assert_eq!(pack(&[1; 7], 3, 10), vec![0..3, 3..6, 6..7]);
        assert_eq!(pack(&[4, 6, 1, 11, 2], 9, 10), vec![0..2, 2..3, 3..4, 4..5]);
    }

    proptest! {
        #[test]
        fn loses_nothing_and_keeps_to_the_limits(
            sizes in prop::collection::vec(0usize..20, 0..60), count_max in 1usize..8, bytes_max in 1usize..30,
        ) {
            let runs = pack(&sizes, count_max, bytes_max);
            let all: Vec<usize> = runs.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
            let bytes = |run: &Range<usize>| sizes[run.clone()].iter().sum::<usize>();
            for run in &runs {
                prop_assert!(run.len() <= count_max);
                prop_assert!(bytes(run) <= bytes_max || run.len() == 1);
            }
            for pair in runs.windows(2) {
                let next = sizes[pair[1].start];
                prop_assert!(pair[0].len() == count_max || bytes(&pair[0]) + next > bytes_max);
            }
        }
    }
}
