//! Keys of 60 bytes and the sequences in which they are asked for.

use oust::Key;

/// Length of every key text.
pub(crate) const KEY_LEN: usize = 60;
/// Length of the bodies, where nothing else is said.
pub(crate) const BODY_LEN: usize = 200;
/// A body of [`BODY_LEN`] bytes.
pub(crate) static BODY: &[u8] = &[b'x'; BODY_LEN];

/// Objects in a directory of the general population.
const PER_DIRECTORY: usize = 100;
/// Hosts of the general population.
const HOSTS: usize = 50;

/// Text of a key of [`KEY_LEN`] bytes: object `name` in directory `dir` of the host whose first label is `label`, three letters or digits.
pub(crate) fn text(label: &str, dir: usize, name: usize) -> String {
    let text = format!("https://{label}.example.net/assets-{dir:05}/{name:012x}-photo.jpeg");
    debug_assert_eq!(text.len(), KEY_LEN);
    text
}

/// The key of such a text.
pub(crate) fn place(label: &str, dir: usize, name: usize) -> Key {
    Key::parse(text(label, dir, name).as_bytes()).expect("the text is a URL")
}

/// Key `id` of the general population: 50 hosts, 100 objects a directory.
pub(crate) fn key(id: usize) -> Key {
    let (host, nth) = (id % HOSTS, id / HOSTS);
    place(&format!("h{host:02}"), nth / PER_DIRECTORY, id)
}

/// The SplitMix64 generator (Steele, Lea, Flood 2014): eight bytes of state, the same sequence for the same seed.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which is far below 2^32.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 32).wrapping_mul(n as u64) >> 32) as usize
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The output function of SplitMix64: a bijection of 64-bit words without visible structure.
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Draws from 0..n with probability proportional to 1/(rank+1)^s, by inversion of the tabulated distribution. Ranks are scattered over the
/// numbers, so that popular keys are not neighbours.
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
    scattered: Vec<u32>,
}

impl Zipf {
    pub(crate) fn new(n: usize, s: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += (rank as f64).powf(-s);
                sum
            })
            .collect();
        let mut scattered: Vec<u32> = (0..n as u32).collect();
        let mut random = Random::new(n as u64);
        for last in (1..n).rev() {
            scattered.swap(last, random.below(last + 1));
        }
        Self { cumulative, scattered }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let at = random.unit() * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= at).min(self.cumulative.len() - 1);
        self.scattered[rank] as usize
    }
}

/// `len` requests to the first `n` keys, zipf 0.99. Keys stand in the order they are asked for, each with a text of its own, so that reading
/// the request is a sequential read and what an engine misses in the caches is its own.
pub(crate) fn zipf_requests(n: usize, len: usize, seed: u64) -> Vec<Key> {
    let zipf = Zipf::new(n, 0.99);
    let mut random = Random::new(seed);
    (0..len).map(|_| key(zipf.draw(&mut random))).collect()
}
