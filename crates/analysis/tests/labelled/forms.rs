//! The forms in which an item stands in a document, and texts around it.

use std::collections::BTreeMap;

/// Random numbers (SplitMix64), so that a seed is a set.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}

const NOUNS: &[&str] = &[
    "harbour",
    "garden",
    "engine",
    "market",
    "teacher",
    "village",
    "river",
    "carpenter",
    "committee",
    "season",
    "window",
    "report",
    "mountain",
    "letter",
    "kitchen",
    "museum",
    "forest",
    "bridge",
    "machine",
    "council",
    "farmer",
    "station",
    "painting",
    "storm",
    "journey",
    "question",
    "neighbour",
    "workshop",
    "meadow",
    "signal",
];
const ADJECTIVES: &[&str] = &[
    "quiet", "new", "broken", "northern", "famous", "small", "careful", "early", "common", "wooden", "cheap", "hidden",
    "long", "bright", "local", "strange", "useful", "heavy",
];
const VERBS: &[&str] = &[
    "changed",
    "opened",
    "supported",
    "passed",
    "described",
    "moved",
    "crossed",
    "followed",
    "kept",
    "visited",
    "served",
    "replaced",
    "watched",
    "closed",
    "repaired",
    "measured",
];
const TAILS: &[&str] = &[
    "before the end of the week",
    "as everybody had expected",
    "without much discussion",
    "in the second half of the year",
    "for the first time",
    "near the old road",
    "because the weather was mild",
    "and nobody complained",
    "although the costs were high",
    "on the way to the coast",
];
const ZH_SUBJECTS: &[&str] = &[
    "老人",
    "工程队",
    "渔民",
    "县里的干部",
    "这位作家",
    "邻居家的孩子",
    "研究小组",
    "商店老板",
    "几个学生",
    "列车员",
    "摄影师",
    "村民",
];
const ZH_ADVERBS: &[&str] = &["昨天", "很快", "终于", "慢慢地", "一直", "后来", "在夏天", "按照约定", "清早", "有时"];
const ZH_VERBS: &[&str] =
    &["走过", "修好了", "记录了", "看见", "离开", "整理", "讨论", "参观", "带来", "画出", "打扫", "研究"];
const ZH_OBJECTS: &[&str] = &[
    "那座木桥",
    "新的仓库",
    "一份报告",
    "山上的茶园",
    "旧照片",
    "城里的集市",
    "电影院",
    "河边的小路",
    "广场",
    "一批货物",
    "屋后的菜地",
    "码头",
];

pub(crate) fn sentence(random: &mut Random, zh: bool) -> String {
    if zh {
        let (s, a, v, o) = (random.of(ZH_SUBJECTS), random.of(ZH_ADVERBS), random.of(ZH_VERBS), random.of(ZH_OBJECTS));
        let more = if random.below(2) == 0 {
            format!("，{}也{}{}", random.of(ZH_SUBJECTS), random.of(ZH_VERBS), random.of(ZH_OBJECTS))
        } else {
            String::new()
        };
        return format!("{s}{a}{v}{o}{more}。");
    }
    format!(
        "The {} {} {} the {} {} {}. ",
        random.of(ADJECTIVES),
        random.of(NOUNS),
        random.of(VERBS),
        random.of(ADJECTIVES),
        random.of(NOUNS),
        random.of(TAILS)
    )
}

pub(crate) fn prose(random: &mut Random, zh: bool, sentences: usize) -> String {
    (0..sentences).map(|_| sentence(random, zh)).collect()
}

/// `text` with one of ten words (or characters) replaced.
pub(crate) fn tenth_replaced(text: &str, random: &mut Random, zh: bool) -> String {
    if zh {
        let mut chars: Vec<char> = text.chars().collect();
        let han: Vec<usize> = (0..chars.len()).filter(|at| chars[*at] >= '\u{4E00}').collect();
        for ten in han.chunks(10).filter(|ten| ten.len() > 4) {
            let other: Vec<char> = random.of(ZH_OBJECTS).chars().collect();
            chars[ten[random.below(ten.len())]] = other[random.below(other.len())];
        }
        return chars.into_iter().collect();
    }
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let count = words.len();
    for start in (0..count).step_by(10).filter(|start| count - start > 4) {
        let at = start + random.below(10.min(count - start));
        let kind = if random.below(2) == 0 { NOUNS } else { ADJECTIVES };
        words[at] = random.of(kind).to_owned();
    }
    words.join(" ")
}

pub(crate) fn short_lines(text: &str, zh: bool) -> String {
    let mut out = String::new();
    let mut width = 0;
    for c in text.chars() {
        width += 1;
        if zh && width >= 11 || !zh && c == ' ' && width >= 22 {
            if zh {
                out.push(c);
            }
            out.push('\n');
            width = 0;
        } else {
            out.push(c);
        }
    }
    out
}

pub(crate) fn case_punctuation(text: &str, random: &mut Random) -> String {
    let upper = random.below(2) == 0;
    let changed: String = text
        .chars()
        .map(|c| match c {
            ',' | ';' => " - ".to_owned(),
            '.' => "!".to_owned(),
            '?' => " ?!".to_owned(),
            '，' => "；".to_owned(),
            '。' => "……".to_owned(),
            '？' => "?".to_owned(),
            c if upper => c.to_uppercase().to_string(),
            c => c.to_lowercase().to_string(),
        })
        .collect();
    changed
}

pub(crate) fn markup(text: &str, random: &mut Random) -> String {
    let words: Vec<String> = text
        .replace('&', "&amp;")
        .split(' ')
        .map(|word| match random.below(7) {
            0 => format!("<b>{word}</b>"),
            1 => format!("<span class=\"w{}\">{word}</span>", random.below(9)),
            2 => format!("{word}&nbsp;"),
            3 => word.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("&#{};", c as u32) }).collect(),
            _ => word.to_owned(),
        })
        .collect();
    format!("<div class=\"q\" id=\"x1\"><p>{}</p><br/></div>", words.join(" ").replace('\n', "</p>\n<p>"))
}

pub(crate) fn json(text: &str, random: &mut Random) -> String {
    let inside: String = text
        .chars()
        .map(|c| match c {
            '\n' => "\\n".to_owned(),
            '"' => "\\\"".to_owned(),
            c if c as u32 > 0x7F => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("{{\"id\": {}, \"prompt\": \"{inside}\", \"meta\": null}}", random.below(9999))
}

pub(crate) fn full_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '!'..='~' => char::from_u32(c as u32 + 0xFEE0).unwrap(),
            ' ' => '\u{3000}',
            c => c,
        })
        .collect()
}

pub(crate) fn spaced(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("{c} ") }).collect()
}

/// `text` in Traditional characters, by the pairs of `traditional.rs`.
pub(crate) fn traditional(text: &str) -> String {
    let mut pairs = super::traditional::PAIRS.chars();
    let mut map = BTreeMap::new();
    while let (Some(simplified), Some(traditional)) = (pairs.next(), pairs.next()) {
        map.insert(simplified, traditional);
    }
    text.chars().map(|c| map.get(&c).copied().unwrap_or(c)).collect()
}

/// `text` with every value in braces replaced by another of its kind.
pub(crate) fn other_values(text: &str, random: &mut Random) -> String {
    const NAMES: &[&str] = &["Oskar", "Yusuf", "Helena", "Petra", "Callum", "Nadia"];
    const ZH_NAMES: &[&str] = &["小华", "小丽", "小军", "小东", "南京", "天津", "武汉"];
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (value, after) = after.split_once('}').unwrap();
        let other = known.entry(value.to_owned()).or_insert_with(|| match value.parse::<usize>() {
            Ok(number) => (number + 1 + random.below(number + 9)).to_string(),
            Err(_) if value.is_ascii() => random.of(NAMES).to_owned(),
            Err(_) => random.of(ZH_NAMES).to_owned(),
        });
        out.push_str(before);
        out.push_str(other);
        rest = after;
    }
    out.push_str(rest);
    out
}

pub(crate) fn plain(text: &str) -> String {
    text.replace(['{', '}'], "")
}
