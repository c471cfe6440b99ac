//! The invented world: the people and facts.

use retrace_numerics::random::Stream;
use retrace_spec::Seed;

use super::Pen;

/// A name in English and in Chinese.
pub(crate) type Name = (&'static str, &'static str);

/// Kinds of facts about a person: town, trade, animal, dish, colour.
pub(crate) const FACTS: usize = 5;
/// The fact that is a person's town.
pub(crate) const TOWN: usize = 0;
/// The fact that is a person's trade.
pub(crate) const TRADE: usize = 1;
/// The fact that is a person's animal.
pub(crate) const ANIMAL: usize = 2;
/// The fact that is the dish a person likes.
pub(crate) const DISH: usize = 3;
/// The fact that is the colour of a person's door.
pub(crate) const COLOUR: usize = 4;

const TOWNS: [Name; 12] = [
    ("Aldermoor", "奥德镇"),
    ("Brackwater", "青盐渡"),
    ("Corvane", "鸦岭"),
    ("Dunhollow", "沙窝集"),
    ("Elmsgate", "榆门关"),
    ("Fernrick", "蕨溪"),
    ("Greywick", "灰石堡"),
    ("Hartlow", "鹿原"),
    ("Ivydale", "藤谷"),
    ("Juniper Quay", "柏港"),
    ("Kestrel Bay", "隼湾"),
    ("Larkmead", "云雀坪"),
];
const TRADES: [Name; 12] = [
    ("baker", "面包师"),
    ("smith", "铁匠"),
    ("weaver", "织工"),
    ("potter", "陶匠"),
    ("miller", "磨坊主"),
    ("teacher", "教师"),
    ("doctor", "医生"),
    ("carpenter", "木匠"),
    ("printer", "印刷工"),
    ("gardener", "园丁"),
    ("tailor", "裁缝"),
    ("fisher", "渔夫"),
];
const ANIMALS: [Name; 10] = [
    ("goat", "山羊"),
    ("heron", "苍鹭"),
    ("donkey", "毛驴"),
    ("cat", "猫"),
    ("goose", "鹅"),
    ("pony", "小马"),
    ("hound", "猎犬"),
    ("rabbit", "兔子"),
    ("parrot", "鹦鹉"),
    ("tortoise", "乌龟"),
];
const DISHES: [Name; 10] = [
    ("barley soup", "大麦汤"),
    ("plum cake", "李子糕"),
    ("smoked trout", "熏鳟鱼"),
    ("bean stew", "炖豆子"),
    ("onion pie", "洋葱派"),
    ("rice porridge", "米粥"),
    ("pear tart", "梨子塔"),
    ("lamb dumplings", "羊肉饺子"),
    ("chestnut bread", "栗子面包"),
    ("mushroom noodles", "蘑菇面"),
];
const COLOURS: [Name; 8] = [
    ("red", "红色"),
    ("blue", "蓝色"),
    ("green", "绿色"),
    ("yellow", "黄色"),
    ("white", "白色"),
    ("black", "黑色"),
    ("violet", "紫色"),
    ("orange", "橙色"),
];
const FIRST: [Name; 12] = [
    ("Mara", "玛拉"),
    ("Tobin", "托宾"),
    ("Ilse", "伊莎"),
    ("Oren", "奥伦"),
    ("Petra", "佩拉"),
    ("Hugo", "雨果"),
    ("Nell", "内尔"),
    ("Caspar", "卡斯帕"),
    ("Wilma", "薇玛"),
    ("Jonas", "约纳"),
    ("Edda", "埃达"),
    ("Rufus", "鲁夫"),
];
const LAST: [Name; 6] = [
    ("Velt", "维尔特"),
    ("Oakes", "奥克斯"),
    ("Tarn", "塔恩"),
    ("Brisk", "布里克"),
    ("Holm", "霍尔姆"),
    ("Quill", "奎尔"),
];

/// The ingredients that dishes are made of.
pub(crate) const INGREDIENTS: [Name; 12] = [
    ("flour", "面粉"),
    ("butter", "黄油"),
    ("salt", "盐"),
    ("honey", "蜂蜜"),
    ("onions", "洋葱"),
    ("garlic", "大蒜"),
    ("milk", "牛奶"),
    ("eggs", "鸡蛋"),
    ("carrots", "胡萝卜"),
    ("pepper", "胡椒"),
    ("cream", "奶油"),
    ("parsley", "欧芹"),
];
/// Goods that are sold at a market, per pound or per piece.
pub(crate) const GOODS: [Name; 8] = [
    ("wool", "羊毛"),
    ("salt fish", "咸鱼"),
    ("lamp oil", "灯油"),
    ("copper pots", "铜锅"),
    ("apples", "苹果"),
    ("candles", "蜡烛"),
    ("paper", "纸张"),
    ("rope", "绳子"),
];

/// A person, with one value of each kind of fact.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) english: String,
    pub(crate) chinese: String,
    /// An index of [`World::values`] for each kind of fact.
    pub(crate) facts: [usize; FACTS],
}

/// All people and facts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) people: Vec<Person>,
    /// The facts for the questions, in the order of the questions: numbers of person and fact.
    pub(crate) asked: Vec<(usize, usize)>,
}

impl World {
    /// The world of a seed: the same people for every seed, with the seed's facts, of which this many are used in
    /// questions.
    pub(crate) fn new(seed: Seed, questions: usize) -> Self {
        let mut pen = Pen::new(Stream::new(seed.get(), "synthetic/world"), 0);
        let mut people = Vec::new();
        for first in FIRST {
            for last in LAST {
                let facts = [TOWNS.len(), TRADES.len(), ANIMALS.len(), DISHES.len(), COLOURS.len()]
                    .map(|n| pen.below(n) as usize);
                let (english, chinese) = (format!("{} {}", first.0, last.0), format!("{}·{}", first.1, last.1));
                people.push(Person { english, chinese, facts });
            }
        }
        let order = pen.shuffled(people.len() * FACTS).into_iter().take(questions);
        let asked = order.map(|fact| (fact / FACTS, fact % FACTS)).collect();
        Self { people, asked }
    }

    /// The possible values of a kind of fact.
    pub(crate) fn values(&self, fact: usize) -> &'static [Name] {
        match fact {
            TOWN => &TOWNS,
            TRADE => &TRADES,
            ANIMAL => &ANIMALS,
            DISH => &DISHES,
            _ => &COLOURS,
        }
    }

    /// A person's fact.
    pub(crate) fn fact(&self, person: &Person, fact: usize) -> Name {
        self.values(fact)[person.facts[fact]]
    }

    /// Whether a question is about this fact: then no document states it in the question's words, unless the question
    /// is leaked.
    pub(crate) fn is_asked(&self, person: &Person, fact: usize) -> bool {
        self.asked.iter().any(|(number, asked)| *asked == fact && self.people[*number].english == person.english)
    }

    /// People who live in the same town as `person`, and others after them, without `person`.
    pub(crate) fn neighbours<'a>(&'a self, person: &'a Person) -> Vec<&'a Person> {
        let (near, far): (Vec<&Person>, Vec<&Person>) = self
            .people
            .iter()
            .filter(|other| other.english != person.english)
            .partition(|other| other.facts[TOWN] == person.facts[TOWN]);
        near.into_iter().chain(far).collect()
    }
}
