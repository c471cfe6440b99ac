//! Python's `random.Random`, seeded with an integer: MT19937 and the methods on it, as CPython 3.11 and later have
//! them.

/// How many words the state has.
const WORDS: usize = 624;
/// The distance of the recurrence.
const MIDDLE: usize = 397;

/// A stream of Python's random numbers. The same seed gives the same stream as `random.Random(seed)`.
#[derive(Clone)]
pub struct Random {
    words: Box<[u32; WORDS]>,
    at: usize,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Random").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Random {
    /// `random.Random(seed)`. Python uses the absolute value of a negative seed.
    pub fn new(seed: u64) -> Self {
        let (low, high) = (seed as u32, (seed >> 32) as u32);
        let key: &[u32] = if high == 0 { &[low] } else { &[low, high] };
        let mut words = Box::new([0_u32; WORDS]);
        words[0] = 19_650_218;
        for at in 1..WORDS {
            words[at] = mixed(words[at - 1]).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
        }
        let (mut at, mut from) = (1, 0);
        for _ in 0..WORDS.max(key.len()) {
            let next = words[at] ^ mixed(words[at - 1]).wrapping_mul(1_664_525);
            words[at] = next.wrapping_add(key[from]).wrapping_add(from as u32);
            (at, from) = (at + 1, (from + 1) % key.len());
            if at == WORDS {
                words[0] = words[WORDS - 1];
                at = 1;
            }
        }
        for _ in 1..WORDS {
            let next = words[at] ^ mixed(words[at - 1]).wrapping_mul(1_566_083_941);
            words[at] = next.wrapping_sub(at as u32);
            at += 1;
            if at == WORDS {
                words[0] = words[WORDS - 1];
                at = 1;
            }
        }
        words[0] = 0x8000_0000;
        Self { words, at: WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.at == WORDS {
            for at in 0..WORDS {
                let both = self.words[at] & 0x8000_0000 | self.words[(at + 1) % WORDS] & 0x7fff_ffff;
                let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
                self.words[at] = self.words[(at + MIDDLE) % WORDS] ^ both >> 1 ^ odd;
            }
            self.at = 0;
        }
        let mut word = self.words[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// `random()`: a number of [0, 1) with 53 bits.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `getrandbits(bits)`, of at most 64 bits.
    pub fn bits(&mut self, bits: u32) -> u64 {
        match bits {
            0 => 0,
            1..=32 => u64::from(self.word() >> (32 - bits)),
            // The first word is the lowest one, and only the last one is shortened.
            _ => {
                let low = u64::from(self.word());
                u64::from(self.word() >> (64 - bits.min(64))) << 32 | low
            }
        }
    }

    /// `randrange(end)`, of a positive `end`; 0 for 0, of which Python has none.
    pub fn below(&mut self, end: usize) -> usize {
        let bits = usize::BITS - end.leading_zeros();
        loop {
            let number = self.bits(bits) as usize;
            if number < end || end == 0 {
                return number;
            }
        }
    }

    /// `choice(range(length))`; None of nothing.
    pub fn choice(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.below(length))
    }

    /// `choices(range(length), k=count)`; nothing of nothing.
    pub fn choices(&mut self, length: usize, count: usize) -> Vec<usize> {
        let of = |number: f64| ((number * length as f64) as usize).min(length.saturating_sub(1));
        (0..if length == 0 { 0 } else { count }).map(|_| of(self.random())).collect()
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let with = self.below(at + 1);
            items.swap(at, with);
        }
    }

    /// `sample(range(length), count)`; None if there are fewer.
    pub fn sample(&mut self, length: usize, count: usize) -> Option<Vec<usize>> {
        if count > length {
            return None;
        }
        // Python draws from a list that shrinks if that is smaller than a set of what was drawn.
        let mut set = 21;
        if count > 5 {
            let mut power = 1_usize;
            while power < count.saturating_mul(3) {
                power = power.saturating_mul(4);
            }
            set += power;
        }
        if length <= set {
            let mut pool: Vec<usize> = (0..length).collect();
            let drawn = (0..count).map(|taken| {
                let at = self.below(length - taken);
                let drawn = pool[at];
                pool[at] = pool[length - taken - 1];
                drawn
            });
            return Some(drawn.collect());
        }
        let mut taken = std::collections::HashSet::with_capacity(count);
        let drawn = (0..count).map(|_| {
            loop {
                let at = self.below(length);
                if taken.insert(at) {
                    return at;
                }
            }
        });
        Some(drawn.collect())
    }
}

const fn mixed(word: u32) -> u32 {
    word ^ word >> 30
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is the answer of CPython 3.11 to one call; `tests/harness/random_numbers.py` prints them.
    #[test]
    fn the_numbers_of_cpython() {
        let mut lines = 0;
        for line in include_str!("../../tests/random.txt").lines() {
            let (call, expected) = line.split_once(" -> ").unwrap();
            let words: Vec<&str> = call.split(' ').collect();
            let seed: u64 = words[0].parse().unwrap();
            let number = |at: usize| -> usize { words[at].parse().unwrap() };
            let mut random = Random::new(seed);
            // A second call shows that the first one used as many words.
            let mut twice = |of: &mut dyn FnMut(&mut Random) -> String| {
                let first = of(&mut random);
                format!("{first} {}", of(&mut random))
            };
            let list = |list: Vec<usize>| format!("{list:?}").replace(' ', "");
            let answer = match words[1] {
                "random" => twice(&mut |random| format!("{:016x}", random.random().to_bits())),
                "getrandbits" => twice(&mut |random| random.bits(number(2) as u32).to_string()),
                "randrange" => twice(&mut |random| random.below(number(2)).to_string()),
                "choice" => twice(&mut |random| random.choice(number(2)).unwrap().to_string()),
                "choices" => twice(&mut |random| list(random.choices(number(2), number(3)))),
                "sample" => twice(&mut |random| list(random.sample(number(2), number(3)).unwrap())),
                "shuffle" => twice(&mut |random| {
                    let mut items: Vec<usize> = (0..number(2)).collect();
                    random.shuffle(&mut items);
                    list(items)
                }),
                "far" => twice(&mut |random| {
                    for _ in 0..2000 {
                        random.random();
                    }
                    format!("{:016x}", random.random().to_bits())
                }),
                other => panic!("{other}"),
            };
            assert_eq!(answer, expected, "{call}");
            lines += 1;
        }
        assert!(lines > 100, "{lines}");
        assert_eq!((Random::new(0).sample(3, 4), Random::new(0).choice(0)), (None, None));
        assert_eq!(Random::new(0).choices(0, 3), Vec::<usize>::new());
    }
}
