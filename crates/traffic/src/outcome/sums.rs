//! What is counted of one revision.

/// The largest number that an answer may say of itself, by its size.
pub const LARGEST_OUTCOME: f64 = 1e9;

/// How many numbers, their mean, and how they scatter. Two of them, put together, are what counting all at once would
/// have been; as sums of squares far from zero they would lose the scatter among their digits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub count: u64,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// The sum of their squared distances from the mean. Never negative.
    pub squares: f64,
}

/// How requests to one revision ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// A replica answered, by the class of its status: 2xx (and the few below), 3xx, 4xx, 5xx (and what is above).
    pub answers: [u64; 4],
    /// Rouse answered itself, after the revision was chosen.
    pub refused: u64,
    /// The client left before the head of an answer.
    pub gone: u64,
    /// From handing a request to a replica until the head of its answer, in seconds; of those that did not fail.
    pub first_byte: Moments,
    /// The same, as counts by bucket.
    pub first_byte_buckets: Vec<u64>,
    /// From handing a request to a replica until the last byte of its answer, in seconds; of those that did not fail.
    pub duration: Moments,
    /// The same, as counts by bucket.
    pub duration_buckets: Vec<u64>,
    /// What answers said of themselves.
    pub outcome: Moments,
    /// What they said that is no number, or too large.
    pub malformed: u64,
}

impl Moments {
    /// One more.
    pub fn add(&mut self, number: f64) {
        self.count = self.count.saturating_add(1);
        let off = number - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (number - self.mean);
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { *other } else { *self };
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let (whole, off) = (mine + theirs, other.mean - self.mean);
        Self {
            count: self.count.saturating_add(other.count),
            mean: self.mean + off * (theirs / whole),
            squares: self.squares + other.squares + off * off * (mine * (theirs / whole)),
        }
    }

    /// How they scatter, as an estimate for where they come from; `None` of fewer than two.
    pub fn variance(&self) -> Option<f64> {
        (2 <= self.count).then(|| self.squares / (self.count - 1) as f64)
    }
}

impl Sums {
    /// A replica answered with this status; `said`: what [`outcome_of`] made of what it said of itself.
    pub fn answered(&mut self, status: u16, said: Option<Option<f64>>) {
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        self.answers[class] = self.answers[class].saturating_add(1);
        match said {
            Some(Some(number)) => self.outcome.add(number),
            Some(None) => self.malformed = self.malformed.saturating_add(1),
            None => {}
        }
    }

    /// Requests of which it is known whether they failed.
    pub fn tried(&self) -> u64 {
        self.answers.iter().fold(self.refused, |sum, count| sum.saturating_add(*count))
    }

    /// Of those, answered with 500 or more, or not by a replica.
    pub fn failed(&self) -> u64 {
        self.refused.saturating_add(self.answers[3])
    }

    /// All that ended.
    pub fn requests(&self) -> u64 {
        self.tried().saturating_add(self.gone)
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            answers: std::array::from_fn(|class| self.answers[class].saturating_add(other.answers[class])),
            refused: self.refused.saturating_add(other.refused),
            gone: self.gone.saturating_add(other.gone),
            first_byte: self.first_byte.and(&other.first_byte),
            first_byte_buckets: both(&self.first_byte_buckets, &other.first_byte_buckets),
            duration: self.duration.and(&other.duration),
            duration_buckets: both(&self.duration_buckets, &other.duration_buckets),
            outcome: self.outcome.and(&other.outcome),
            malformed: self.malformed.saturating_add(other.malformed),
        }
    }
}

/// The number that an answer says of itself; `None` if it is none, not finite, or larger than [`LARGEST_OUTCOME`].
pub fn outcome_of(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    // What is not a number is in no range.
    (-LARGEST_OUTCOME..=LARGEST_OUTCOME).contains(&number).then_some(number)
}

/// Counts by bucket; either may end before the other.
fn both(mine: &[u64], theirs: &[u64]) -> Vec<u64> {
    let at = |counts: &[u64], bucket| counts.get(bucket).copied().unwrap_or(0);
    (0..mine.len().max(theirs.len())).map(|bucket| at(mine, bucket).saturating_add(at(theirs, bucket))).collect()
}
