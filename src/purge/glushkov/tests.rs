use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::TranslatorBuilder;

use super::{Automaton, MAX_MEMORY, MAX_POSITIONS, MAX_WORDS, MAX_WORK, Unfit};

/// The worst of the expressions that have to be accepted.
const WORST: [&str; 3] = ["[ab]*a[ab]{59}$", ".*(a|b|c|d).{0,30}(e|f).{0,25}(g|h).*$", "(.{0,59}a){5}x.*$"];

pub(in crate::purge) fn parse(pattern: &str) -> Hir {
    let tree = regex_syntax::ast::parse::ParserBuilder::new().empty_min_range(true).build().parse(pattern).unwrap();
    TranslatorBuilder::new().unicode(false).utf8(false).build().translate(pattern, &tree).unwrap()
}

/// Deterministic numbers.
pub(in crate::purge) struct Random(pub(in crate::purge) u64);

impl Random {
    pub(in crate::purge) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }

    pub(in crate::purge) fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// An expression; `most` is the largest count in it.
    pub(in crate::purge) fn regex(&mut self, depth: usize, most: usize) -> String {
        if depth == 0 {
            return self
                .of(&[
                    "a",
                    "b",
                    "c",
                    "ab",
                    "abc",
                    "ba",
                    "[ab]",
                    "[^a]",
                    ".",
                    "[bc]",
                    r"\xff",
                    r"[^\x00-\x7f]",
                    "",
                    "a",
                    "b",
                ])
                .into();
        }
        let depth = depth - 1;
        match self.below(16) {
            0..=4 => (0..=self.below(3)).map(|_| self.regex(depth, most)).collect(),
            5..=7 => {
                let parts: Vec<String> = (0..2 + self.below(3)).map(|_| self.regex(depth, most)).collect();
                format!("({})", parts.join("|"))
            }
            8..=10 => format!("(?:{}){}", self.regex(depth, most), self.of(&["*", "+", "?", "*?", "+?", "??"])),
            11..=13 => {
                let least = self.below(most);
                let sub = self.regex(depth, most);
                match self.below(4) {
                    0 => format!("(?:{sub}){{{least}}}"),
                    1 => format!("(?:{sub}){{{least},}}"),
                    2 => format!("(?:{sub}){{{least},{}}}?", least + self.below(most)),
                    _ => format!("(?:{sub}){{{least},{}}}", least + self.below(most)),
                }
            }
            14 => format!("{}{}", self.regex(depth, most), self.of(&["$", "$", "$", "^", "()"])),
            _ => format!("{}{}", self.of(&["^", "$", ".*", "(|a)"]), self.regex(depth, most)),
        }
    }

    pub(in crate::purge) fn text(&mut self, most: usize) -> Vec<u8> {
        let alphabet = [b"ab".as_slice(), b"abc", b"abc\xff", b"a", b"abcd\xff\n"][self.below(5)];
        (0..self.below(most + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

struct Oracle(meta::Regex);

impl Oracle {
    fn new(hir: &Hir) -> Self {
        Self(meta::Builder::new().configure(meta::Config::new().utf8_empty(false)).build_from_hir(hir).unwrap())
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(Input::new(text).anchored(Anchored::Yes).earliest(true))
    }
}

/// Compares with another engine; returns whether the automaton is within its limits.
fn check(pattern: &str, texts: impl IntoIterator<Item = Vec<u8>>) -> bool {
    let hir = parse(pattern);
    let automaton = match Automaton::new(&hir) {
        Ok(automaton) => automaton,
        Err(Unfit::Work(_) | Unfit::Positions(_)) => return false,
        Err(unfit) => panic!("{pattern}: {unfit}"),
    };
    assert!(automaton.memory() <= MAX_MEMORY && automaton.work() <= MAX_WORK);
    let oracle = Oracle::new(&hir);
    for text in texts {
        let expected = oracle.matches(&text);
        let shown = || format!("{pattern:?} on {:?}", text.escape_ascii().to_string());
        assert_eq!(automaton.matches(&text), expected, "{}", shown());
        if !text.is_empty() {
            assert_eq!(automaton.wide(&text, &mut [0; MAX_WORDS]).is_match(), expected, "wide, {}", shown());
        }
    }
    true
}

#[test]
fn matches_what_another_engine_matches() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut fit = 0;
    for round in 0..4_000 {
        let pattern = random.regex(1 + round % 4, 4);
        let texts: Vec<Vec<u8>> = (0..24).map(|_| random.text(12)).collect();
        fit += usize::from(check(&pattern, texts.into_iter().chain([Vec::new()])));
    }
    assert!(fit > 3_900, "{fit}");
}

#[test]
fn matches_what_another_engine_matches_over_many_words() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut fit = 0;
    for round in 0..600 {
        let pattern = random.regex(2 + round % 3, 24);
        let texts: Vec<Vec<u8>> = (0..12).map(|_| random.text(200)).collect();
        fit += usize::from(check(&pattern, texts));
    }
    assert!(fit > 500, "{fit}");
}

#[test]
fn worst_expressions_are_accepted_and_right() {
    let mut random = Random(77);
    for (pattern, alphabet) in WORST.iter().zip([b"ab".as_slice(), b"abcdefgh", b"aaaaabx"]) {
        let mut texts = Vec::new();
        for length in [0, 1, 59, 60, 61, 62, 63, 64, 65, 120, 300, 900] {
            for _ in 0..8 {
                texts.push((0..length).map(|_| alphabet[random.below(alphabet.len())]).collect());
            }
            texts.push(vec![b'a'; length]);
        }
        assert!(check(pattern, texts), "{pattern}");
    }
}

#[test]
fn edge_cases() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("", &["", "a", "\n"], &[]),
        ("()", &["", "a"], &[]),
        ("$", &[""], &["a", "\n"]),
        ("$$", &[""], &["a"]),
        ("^", &["", "a"], &[]),
        ("^$", &[""], &["a"]),
        ("$^", &[""], &["a"]),
        ("^a", &["a", "ab"], &["", "ba"]),
        ("a^", &[], &["", "a", "aa"]),
        ("(a|^)b", &["ab", "b"], &["", "a", "c"]),
        ("(^a|b)+c", &["ac", "bc", "abc", "bbc"], &["bac", "c"]),
        ("$a", &[], &["", "a"]),
        ("a$|b", &["a", "b", "bc"], &["", "ab", "c"]),
        ("(a|)$", &["", "a"], &["b", "aa", "ab"]),
        ("(|a)$", &["", "a"], &["b", "aa"]),
        ("(a$|b)*$", &["", "a", "b", "bba"], &["ab", "c"]),
        ("($|a)b", &["ab"], &["", "b", "a"]),
        ("x{0}", &["", "x", "y"], &[]),
        ("x{0}y", &["y"], &["", "xy"]),
        ("x{0,0}$", &[""], &["x"]),
        ("(a*)*", &["", "b"], &[]),
        ("(a*)*$", &["", "a", "aaa"], &["b", "ab"]),
        ("(a*)+b$", &["b", "aab"], &["", "ba", "a"]),
        ("(a+b)?c$", &["c", "abc", "aabc"], &["ac", "bc", "ababc"]),
        ("((ab)+c|d)$", &["abc", "ababc", "d"], &["abd", "abab", "dc"]),
        ("((a+|b)c)*$", &["", "ac", "bcaac"], &["abc", "c", "acb"]),
        ("(a(b(c)?)?)?d$", &["d", "ad", "abd", "abcd"], &["acd", "bd", "bcd", "cd"]),
        ("(ab){2,3}$", &["abab", "ababab"], &["", "ab", "abababab", "aba"]),
        ("((ab){0,2}c){2}$", &["cc", "abcc", "ababcabc"], &["c", "abababcc", "ccc"]),
        ("(a?b?c?){2}$", &["", "abcabc", "cb", "ba"], &["cba", "aaa", "abcd"]),
        ("a{2,}b", &["aab", "aaaab"], &["ab", "b", "aa"]),
        ("(ab){2,}c", &["ababc", "abababc"], &["abc", "abab"]),
        ("[^ab]$", &["c", "\n", "\u{0}"], &["a", "b", "", "cc"]),
        ("[^a-z]+x", &["0x", "AB.x"], &["x", "ax"]),
        ("a.c", &["abc", "a\tc"], &["a\nc", "ac"]),
        ("(?s)a.c", &["abc", "a\nc"], &["ac"]),
        ("(?i)aB", &["ab", "AB", "Ab"], &["a", "ba"]),
        ("[a&&b]|c", &["c"], &["a", "b", ""]),
        (r"\xc3\xa9$", &["\u{e9}"], &["e", "\u{e8}"]),
        (r"[\x80-\xff]{2}$", &["\u{e9}"], &["ab", "\u{20ac}"]),
        (r"(\xc3\xa9|\xc3\xa8|\xe2\x82\xac)$", &["\u{e9}", "\u{e8}", "\u{20ac}"], &["e", "\u{ea}", ""]),
        ("foo|foobar$", &["foo", "foobar", "foox"], &["fo", "f"]),
        ("(abc|abd|xyz)+-", &["abc-", "xyzabd-"], &["-", "ab-", "abxyz-"]),
    ];
    for (pattern, takes, never) in table {
        let automaton = Automaton::new(&parse(pattern)).unwrap();
        for (texts, expected) in [(takes, true), (never, false)] {
            for text in *texts {
                assert_eq!(automaton.matches(text.as_bytes()), expected, "{pattern:?} on {text:?}");
            }
        }
        let texts = takes.iter().chain(*never).map(|text| text.as_bytes().to_vec());
        assert!(check(pattern, texts), "{pattern}");
    }
}

#[test]
fn every_byte_is_its_own() {
    for byte in 0..=u8::MAX {
        let automaton = Automaton::new(&parse(&format!("a\\x{byte:02x}{{2}}$"))).unwrap();
        for other in 0..=u8::MAX {
            assert_eq!(automaton.matches(&[b'a', other, other]), other == byte);
        }
    }
}

#[test]
fn work_is_counted() {
    // Counted classes and dot-stars are free, whatever the number of positions.
    assert_eq!(Automaton::new(&parse(WORST[0])).unwrap().work(), 1);
    assert_eq!(Automaton::new(&parse(WORST[1])).unwrap().work(), 1);
    assert_eq!(Automaton::new(&parse(WORST[2])).unwrap().work(), 5);
    assert_eq!(Automaton::new(&parse(".*a.*b$")).unwrap().work(), 1);
    // An option of several bytes is a group of a source and a target, however often it may be taken.
    assert_eq!(Automaton::new(&parse("a(bc)?d")).unwrap().work(), 3);
    assert_eq!(Automaton::new(&parse("a(bc){0,9}d")).unwrap().work(), 3);
    assert_eq!(Automaton::new(&parse("a((bc)?){9}d")).unwrap().work(), 3);
    // Alternatives are two.
    assert_eq!(Automaton::new(&parse(r"(html|jpeg|gif)$")).unwrap().work(), 5);
}

#[test]
fn refusals_name_the_budget() {
    let refused =
        |pattern: &str| Automaton::new(&parse(pattern)).err().unwrap_or_else(|| panic!("{pattern} is accepted"));
    assert_eq!(refused(r"a\b"), Unfit::LookAround);
    assert_eq!(refused("(?m)a$"), Unfit::LookAround);
    assert_eq!(refused("(?m)^a"), Unfit::LookAround);
    assert_eq!(refused("(?mR)^a"), Unfit::LookAround);
    assert_eq!(refused("(((a{1,59}){1,59}){1,59}){1,59}"), Unfit::Positions(MAX_POSITIONS));
    assert_eq!(refused("(((((((a{1,59}){59}){59}){59}){59}){59}){59}){59}"), Unfit::Positions(MAX_POSITIONS));
    let nest = format!("{}a{}", "(".repeat(40), "b?){9}".repeat(40));
    assert_eq!(refused(&nest), Unfit::Positions(MAX_POSITIONS));
    assert_eq!(
        refused("((ab|c|de)f){59}((hi|jk|l)m){59}((no|op|p)q){59}((r|st)u){59}((v|wx)y){59}"),
        Unfit::Work(MAX_WORK)
    );
    // More different classes than any text of a selector has room for.
    let classes = (0..45).flat_map(|a| (46..68).map(move |b| format!("[\\x{a:02x}\\x{b:02x}]{{10}}")));
    assert_eq!(refused(&classes.collect::<String>()), Unfit::Memory(MAX_MEMORY));
    assert_eq!(Unfit::Positions(MAX_POSITIONS).to_string(), "the regex written out has more than 10000 positions");
    let large = Automaton::new(&parse("(a{1,59}){1,59}b{59}{59}c{59}{50}$")).unwrap();
    assert!(large.work() <= MAX_WORK && large.memory() <= MAX_MEMORY);
    let text = [vec![b'a'; 3_000], vec![b'b'; 59 * 59], vec![b'c'; 59 * 50]].concat();
    assert!(large.matches(&text));
    assert!(!large.matches(&[text.as_slice(), b"c"].concat()));
}
