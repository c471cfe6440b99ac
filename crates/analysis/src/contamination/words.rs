//! What a unit of an item is, and how much it tells.

use std::collections::HashSet;

use super::text::{Reader, Unit};

/// English words that most texts have, and those of exams in general.
const COMMON: &str = "a an the this that these those it its he she they them his her their we you your i my me our us \
    him who whom whose what which when where why how is are was were be been being am do does did done has have had \
    having can could will would shall should may might must of to in on at by for with from as into than then if or and \
    but not no nor so because while about over under between after before during there here all any some each every \
    both more most other another such only own same too very just also up down out off again one ones s t \
    following statement statements true false correct incorrect answer answers question questions choose select \
    option options best none above below read passage text complete completes sentence sentences blank appropriate \
    describes describe according based most likely least except given let find determine calculate compute explain \
    write function return returns def import yes valid invalid b c d e f g h k l m n o p q r u v w x y z";

/// The same for Chinese, by characters.
const COMMON_CJK: &str = "的了是在有和与及或不也都就而但被把对从到为以于之其这那此该个一些们我你他她它什么哪谁几多少怎样如何吗呢\
    下列以上述各项中只都对正确错误说法关于属于选请问题答案选项表示可能应当符合最后时会能要所";

/// Characters that write numbers. 一 is left out: it is in too many words.
const NUMERALS: &str = "二三四五六七八九十百千万亿两半零〇";

/// English words for numbers. One is left out: it is a pronoun more often.
const NUMBERS: &str = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half \
    twice double";

/// Words that follow the character 小 where it is no part of a name.
const NOT_NAMES: &str = "时学于说数区组型麦吃心伙子便提腿脑孩";

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Word,
    /// A number in digits.
    Number,
    /// A number in words.
    NumberWord,
    /// A word that is written with a capital although no sentence starts there, or the name of a person (小明).
    Name,
    /// A character of a script without spaces.
    Character,
    /// A number that is such a character.
    Numeral,
    /// A character of a name.
    NameCharacter,
}

impl Class {
    pub(super) const fn is_cjk(self) -> bool {
        matches!(self, Self::Character | Self::Numeral | Self::NameCharacter)
    }

    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::NumberWord | Self::Numeral)
    }

    /// Which kind of value it is, of those that an item of the same template has others of: numbers in digits, numbers
    /// in words, names.
    pub(super) const fn value(self) -> Option<usize> {
        match self {
            Self::Word | Self::Character => None,
            Self::Number => Some(0),
            Self::NumberWord | Self::Numeral => Some(1),
            Self::Name | Self::NameCharacter => Some(2),
        }
    }
}

/// The units that most texts have.
#[derive(Debug)]
pub(super) struct Commonness {
    common: HashSet<u64>,
    numbers: HashSet<u64>,
}

impl Commonness {
    pub(super) fn new(reader: &Reader) -> Self {
        let mut units = Vec::new();
        reader.units(&[COMMON, COMMON_CJK].join(" "), &mut units);
        let common = units.iter().map(|unit| unit.hash).collect();
        reader.units(NUMBERS, &mut units);
        Self { common, numbers: units.iter().map(|unit| unit.hash).collect() }
    }

    /// How much a unit tells by itself, from 0 to 1. A character is about half a word.
    pub(super) fn weight(&self, unit: u64, class: Class) -> f64 {
        match (class, self.common.contains(&unit)) {
            (Class::Character, true) => 0.1,
            (Class::Character, false) => 0.5,
            (Class::Numeral | Class::NameCharacter, _) => 0.5,
            (Class::Word, true) => 0.1,
            (Class::Word | Class::Number | Class::NumberWord | Class::Name, _) => 1.0,
        }
    }

    /// What each unit of `text` is.
    pub(super) fn classes(&self, text: &str, units: &[Unit]) -> Vec<Class> {
        let mut classes: Vec<Class> = Vec::with_capacity(units.len());
        let mut last_end = 0;
        for (at, unit) in units.iter().enumerate() {
            let slice = text.get(unit.start..unit.end).unwrap_or_default();
            let between = text.get(last_end.min(unit.start)..unit.start).unwrap_or_default();
            last_end = unit.end;
            let starts = at == 0 || between.contains(['.', '?', '!', ':', '\n', '"', '“', '(', ';']);
            let first = slice.chars().next().unwrap_or(' ');
            let class = if unit.cjk {
                let before = units.get(at.wrapping_sub(1)).and_then(|unit| text.get(unit.start..unit.end));
                if NUMERALS.contains(first) {
                    Class::Numeral
                } else if before == Some("小") && between.is_empty() && !NOT_NAMES.contains(first) {
                    Class::NameCharacter
                } else {
                    Class::Character
                }
            } else if first.is_numeric() {
                Class::Number
            } else if self.numbers.contains(&unit.hash) {
                Class::NumberWord
            } else if first.is_uppercase() && !starts && slice.chars().count() > 1 && !self.common.contains(&unit.hash)
            {
                Class::Name
            } else {
                Class::Word
            };
            classes.push(class);
        }
        // One numeral alone is part of a word more often than not (两个, 三角).
        let numeral = |class: Option<&Class>| class == Some(&Class::Numeral);
        let alone: Vec<usize> = (0..classes.len())
            .filter(|at| numeral(classes.get(*at)))
            .filter(|at| !numeral(classes.get(at + 1)) && !numeral(classes.get(at.wrapping_sub(1))))
            .collect();
        for at in alone {
            if let Some(class) = classes.get_mut(at) {
                *class = Class::Character;
            }
        }
        // A name is one at the start of a sentence too.
        let names: HashSet<u64> =
            units.iter().zip(&classes).filter(|(_, class)| **class == Class::Name).map(|(unit, _)| unit.hash).collect();
        for (unit, class) in units.iter().zip(&mut classes) {
            if *class == Class::Word && names.contains(&unit.hash) {
                *class = Class::Name;
            }
        }
        classes
    }
}
