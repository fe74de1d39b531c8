//! Which idempotency records there are, in memory: "not seen before" takes no read of the
//! store. About 20 bytes a record.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;

use crate::limits;
use crate::model::{RequestId, Timestamp};
use crate::store::RequestNumber;

/// How long idempotency records are kept. The default is that of [`limits`].
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRetention {
    /// A record is kept for this long, unless there are `count_max` newer ones.
    pub(super) age: Duration,
    /// At most this many are kept.
    pub(super) count_max: usize,
    /// This many of the newest are kept, whatever their age.
    pub(super) count_min: usize,
    /// At most this many are deleted at a time.
    pub(super) step: usize,
}

impl Default for RequestRetention {
    fn default() -> RequestRetention {
        RequestRetention {
            age: limits::REQUEST_KEPT,
            count_max: limits::REQUESTS_KEPT_MAX,
            count_min: limits::REQUESTS_KEPT_MIN,
            step: limits::REQUESTS_FORGOTTEN_PER_COMMIT,
        }
    }
}

/// The idempotency records of a list, by the hash of their request id.
///
/// Numbers of records grow without gaps. So a record is found by its number, and the table
/// holds only the lower 32 bits of numbers.
#[derive(Debug, Default)]
pub(super) struct RequestIndex {
    /// The hash of each record's request id, in the order of their numbers.
    hashes: VecDeque<u64>,
    /// The time of each, in seconds since the Unix epoch.
    times: VecDeque<u32>,
    numbers: HashTable<u32>,
    last: RequestNumber,
}

impl RequestIndex {
    /// The index of the records that a store has loaded: their hashes and times, in order,
    /// and the number of the last one.
    pub(super) fn new(requests: &[(u64, Timestamp)], last: RequestNumber) -> RequestIndex {
        let mut index = RequestIndex {
            hashes: VecDeque::with_capacity(requests.len()),
            times: VecDeque::with_capacity(requests.len()),
            numbers: HashTable::with_capacity(requests.len()),
            last: last - requests.len() as RequestNumber,
        };
        for (hash, at) in requests {
            index.push_hash(*hash, *at);
        }
        index
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The numbers of the records whose request id has the same hash, newest first. Almost
    /// always none or one. The store knows which of them has the same request id.
    pub(super) fn find(&self, id: &RequestId) -> Vec<RequestNumber> {
        self.find_hash(id.hash())
    }

    /// Adds the record after the last one.
    pub(super) fn push(&mut self, id: &RequestId, at: Timestamp) {
        self.push_hash(id.hash(), at);
    }

    /// The number up to which records are to be deleted; 0: none. Records are deleted in
    /// order, up to the first that is kept: where the clock went back, an old one may wait
    /// behind one that looks young. One with a time in the future is old: the clock was ahead.
    pub(super) fn forget_due(&self, now: Timestamp, retention: &RequestRetention) -> RequestNumber {
        let oldest_kept = i64::from(seconds(now)) - retention.age.as_secs() as i64;
        let future_from = seconds(super::retention::future_from(now));
        let is_due = |(index, at): &(usize, &u32)| {
            let newer = self.len() - 1 - index;
            let old = i64::from(**at) < oldest_kept || **at > future_from;
            let due = old || newer >= retention.count_max;
            due && newer >= retention.count_min
        };
        let due = self.times.iter().enumerate().take(retention.step).take_while(is_due).count();
        match due {
            0 => 0,
            _ => self.first() + due as RequestNumber - 1,
        }
    }

    /// Removes the records up to this number.
    pub(super) fn forget(&mut self, up_to: RequestNumber) {
        while self.first() <= up_to
            && let (Some(hash), Some(_)) = (self.hashes.pop_front(), self.times.pop_front())
        {
            let number = self.last - self.hashes.len() as RequestNumber;
            let entry = self.numbers.find_entry(hash, |low| *low == number as u32);
            debug_assert!(entry.is_ok(), "record {number} is in the table");
            if let Ok(entry) = entry {
                entry.remove();
            }
        }
    }

    /// The number of the first record that is kept.
    fn first(&self) -> RequestNumber {
        self.last - self.len() as RequestNumber + 1
    }

    fn find_hash(&self, hash: u64) -> Vec<RequestNumber> {
        let first = self.first();
        let number = |low: &u32| first + RequestNumber::from(low.wrapping_sub(first as u32));
        let same =
            |number: &RequestNumber| self.hashes.get((number - first) as usize) == Some(&hash);
        let mut found: Vec<_> = self.numbers.iter_hash(hash).map(number).filter(same).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    fn push_hash(&mut self, hash: u64, at: Timestamp) {
        self.last += 1;
        self.hashes.push_back(hash);
        self.times.push_back(seconds(at));
        let (first, hashes) = (self.first(), &self.hashes);
        // The table asks for hashes when it grows.
        let hash_of = |low: &u32| {
            hashes.get(low.wrapping_sub(first as u32) as usize).copied().unwrap_or_default()
        };
        self.numbers.insert_unique(hash, self.last as u32, hash_of);
    }
}

/// Seconds since the Unix epoch: from 1970 to 2106, times before and after are cut off.
fn seconds(at: Timestamp) -> u32 {
    (at.0.div_euclid(1_000_000)).clamp(0, u32::MAX.into()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RequestId {
        RequestId::new(text).unwrap().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    /// An index of the requests 1, 2, 3 .., one a second.
    fn one_a_second(requests: i64) -> RequestIndex {
        let mut index = RequestIndex::default();
        for n in 1..=requests {
            index.push(&id(&n.to_string()), at(n));
        }
        index
    }

    #[test]
    fn requests_are_found_until_they_are_forgotten() {
        let mut index = one_a_second(1_000);
        index.push(&id("7"), at(1_001));
        for n in 1..=1_000 {
            let expected = if n == 7 { vec![1_001, 7] } else { vec![n] };
            assert_eq!(index.find(&id(&n.to_string())), expected);
        }
        assert!(index.find(&id("1001")).is_empty());
        index.forget(400);
        index.forget(400);
        index.forget(3);
        assert_eq!((index.len(), index.last), (601, 1_001));
        for n in 1..=1_000 {
            let expected =
                if n == 7 { vec![1_001] } else { Vec::from_iter((n > 400).then_some(n)) };
            assert_eq!(index.find(&id(&n.to_string())), expected, "{n}");
        }
        index.forget(RequestNumber::MAX);
        assert!(index.len() == 0 && index.numbers.is_empty());
        index.push(&id("a"), at(0));
        assert_eq!(index.find(&id("a")), [1_002]);
    }

    /// The clock was ahead for the first 200, by two days.
    #[test]
    fn times_in_the_future_do_not_keep_requests() {
        let ahead = |n| if n <= 200 { 2 * 24 * 60 * 60 } else { 0 };
        let requests: Vec<_> = (1..=1_000).map(|n| (n as u64, at(n + ahead(n)))).collect();
        let index = RequestIndex::new(&requests, 1_000);
        let age = Duration::from_secs(24 * 60 * 60);
        let retention = RequestRetention { age, count_max: 1_000_000, count_min: 100, step: 500 };
        assert_eq!(index.forget_due(at(1_000), &retention), 200);
        let retention = RequestRetention { count_min: 900, ..retention };
        assert_eq!(index.forget_due(at(1_000), &retention), 100);
    }

    #[test]
    fn equal_hashes_are_all_found() {
        let requests: Vec<_> = (0..50).map(|n| ((n % 5) << 60, at(0))).collect();
        let mut index = RequestIndex::new(&requests, 100);
        let expected: Vec<_> = (51..=100).rev().filter(|n| (n - 51) % 5 == 3).collect();
        assert_eq!(index.find_hash(3 << 60), expected);
        index.forget(60);
        assert_eq!(index.find_hash(3 << 60), expected[..8]);
        assert!(index.find_hash(7 << 60).is_empty());
    }

    #[test]
    fn numbers_above_32_bits_are_found() {
        for last in [u32::MAX as i64 - 5, u32::MAX as i64 + 5, 1 << 40, i64::MAX - 20] {
            let requests: Vec<_> = (0..10).map(|n| (n, at(0))).collect();
            let mut index = RequestIndex::new(&requests, last);
            (10..20).for_each(|n| index.push_hash(n, at(0)));
            index.forget(last - 8);
            for n in 0..20 {
                let expected = Vec::from_iter((n >= 2).then_some(last - 9 + n as i64));
                assert_eq!(index.find_hash(n), expected, "{n} of {last}");
            }
        }
    }

    #[test]
    fn requests_are_forgotten_by_age_and_number() {
        let policy = |age, count_min, count_max, step| RequestRetention {
            age: Duration::from_secs(age),
            count_max,
            count_min,
            step,
        };
        let index = one_a_second(20);
        for (what, retention, expected) in [
            ("young and few: none", policy(100, 2, 50, 99), 0),
            ("older than 5 s", policy(5, 2, 50, 99), 14),
            ("but not the newest 8", policy(5, 8, 50, 99), 12),
            ("young, but more than 10", policy(100, 2, 10, 99), 10),
            ("age and number", policy(5, 2, 10, 99), 14),
            ("at most 3 at a time", policy(5, 2, 10, 3), 3),
            ("none at a time", policy(5, 2, 10, 0), 0),
            ("nothing but the newest", policy(0, 0, 1, 99), 19),
            ("not even that", policy(0, 0, 0, 99), 20),
        ] {
            assert_eq!(index.forget_due(at(20), &retention), expected, "{what}");
        }
        let mut rest = one_a_second(20);
        rest.forget(10);
        assert_eq!(rest.forget_due(at(20), &policy(5, 2, 50, 2)), 12);
        assert_eq!(RequestIndex::default().forget_due(at(0), &policy(0, 0, 0, 9)), 0);
    }

    /// The order of deletion is that of the numbers, whatever the clock said.
    #[test]
    fn an_old_request_waits_behind_a_younger_one() {
        let mut index = RequestIndex::default();
        for seconds in [0, 50, 5] {
            index.push(&id(&seconds.to_string()), at(seconds));
        }
        let retention = RequestRetention {
            age: Duration::from_secs(10),
            count_max: 99,
            count_min: 0,
            step: 99,
        };
        assert_eq!(index.forget_due(at(30), &retention), 1);
        assert_eq!(index.forget_due(at(61), &retention), 3);
        // A clock that is ahead by centuries, as well as one before 1970, is a time.
        assert_eq!(index.forget_due(Timestamp(i64::MAX), &retention), 3);
        assert_eq!(index.forget_due(Timestamp(i64::MIN), &retention), 0);
    }
}
