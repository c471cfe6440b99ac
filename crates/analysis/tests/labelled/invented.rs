//! Items made from patterns about places and people that do not exist. Many share a pattern, as a benchmark's items do.

use retrace_analysis::contamination::BenchmarkItem;

use super::forms::Random;
use super::set::Set;

const STARTS: &[&str] =
    &["Bel", "Cor", "Dun", "Esk", "Fal", "Gry", "Hol", "Ilm", "Jor", "Kes", "Lun", "Mor", "Nev", "Ost", "Pry", "Quil"];
const ENDS: &[&str] = &["dale", "mere", "wick", "stadt", "haven", "brook", "moor", "ville", "gard", "ness"];
const PEOPLE: &[&str] =
    &["Amara", "Bjorn", "Celia", "Dmitri", "Elena", "Farid", "Gwen", "Hamza", "Ines", "Jonas", "Kira", "Luis"];
const THINGS: &[&str] = &[
    "observatory",
    "fish market",
    "tram line",
    "public bath",
    "botanical garden",
    "grain exchange",
    "foundry",
    "opera house",
    "cable railway",
    "printing museum",
];
const GOODS: &[&str] =
    &["walnuts", "lanterns", "tiles", "kites", "jars of honey", "baskets", "bricks", "candles", "postcards", "saddles"];
const ZH_STARTS: &[&str] = &["云", "青", "白", "龙", "石", "柳", "梅", "金", "松", "鹤"];
const ZH_ENDS: &[&str] = &["溪镇", "山村", "湖县", "江城", "桥乡", "岭镇", "泉县", "滩村"];
const ZH_PEOPLE: &[&str] = &["小林", "小雨", "小亮", "小峰", "小梅", "小宇", "小倩"];
const ZH_THINGS: &[&str] =
    &["天文台", "植物园", "印刷博物馆", "缆车", "大剧院", "鱼市", "纺织厂", "水文站", "茶叶交易所"];
const ZH_GOODS: &[&str] = &["核桃", "灯笼", "瓷砖", "风筝", "蜂蜜", "竹篮", "明信片", "马鞍"];

fn town(random: &mut Random) -> String {
    format!("{}{}", random.of(STARTS), random.of(ENDS))
}

fn zh_town(random: &mut Random) -> String {
    format!("{}{}", random.of(ZH_STARTS), random.of(ZH_ENDS))
}

/// `count` items of each language; values that a template would change are in braces.
pub(crate) fn add(set: &mut Set, random: &mut Random, count: usize) {
    for number in 0..count {
        let year = |random: &mut Random| (1700 + random.below(300)).to_string();
        let years: Vec<String> = (0..4).map(|_| year(random)).collect();
        let (a, b, c) = (3 + random.below(60), 2 + random.below(30), 2 + random.below(9));
        let (town_a, town_b, person, other) = (town(random), town(random), random.of(PEOPLE), random.of(PEOPLE));
        let (thing, goods) = (random.of(THINGS), random.of(GOODS));
        let (question, answer, choices) = match number % 8 {
            0 => (format!("In which year was the {{{town_a}}} {thing} opened?"), years[0].clone(), years.clone()),
            1 => (
                format!("Who paid for the {thing} at {{{town_a}}}?"),
                format!("{person} of {town_b}"),
                (0..4).map(|k| format!("{} of {town_b}", PEOPLE[(number + k) % 12])).collect(),
            ),
            2 => (
                format!(
                    "{{{person}}} packs {goods} into crates. Each crate holds {{{a}}} of them, and {{{b}}} crates fit on a cart. On the road to {{{town_a}}} every tenth crate breaks, and the merchant there buys only what is whole. How many {goods} does {{{person}}} sell?"
                ),
                (a * b).to_string(),
                Vec::new(),
            ),
            3 => (
                format!(
                    "The road from {{{town_a}}} to {{{town_b}}} is {{{a}}} miles long. {{{person}}} starts at one end and walks {{{c}}} miles in an hour, while {{{other}}} starts at the other end on a mule that is twice as fast. After how many minutes do they meet at the toll gate?"
                ),
                (a * 20 / c).to_string(),
                Vec::new(),
            ),
            4 => (
                format!("Why did the council of {{{town_a}}} close the {thing} in {{{}}}?", years[1]),
                format!("because {goods} were stored there"),
                Vec::new(),
            ),
            5 => (
                format!(
                    "A merchant from {{{town_a}}} buys {{{a}}} {goods} for {{{b}}} coins each. He sells a third of them at double the price, gives {{{c}}} away to the guards at the gate, and must throw out what the rain has spoilt, which is as much as he gave away. What does he earn if he sells the rest at cost?"
                ),
                (a + b).to_string(),
                Vec::new(),
            ),
            6 => (
                format!("Which {goods} are made in {{{town_a}}} only?"),
                format!("those with a {} mark", random.of(&["red", "blue", "brass", "double"])),
                Vec::new(),
            ),
            _ => (
                format!(
                    "Write a function {}_{} that takes the opening hours of the {thing} as pairs of integers and returns the longest time for which it is closed within a week. Pairs may overlap, and a pair whose end lies before its start lasts past midnight.",
                    goods.split(' ').next().unwrap(),
                    number
                ),
                "merge the pairs".to_owned(),
                Vec::new(),
            ),
        };
        let answer = Some(answer);
        set.add(
            false,
            &question,
            BenchmarkItem { answer, choices, benchmark: "invented-en".to_owned(), ..BenchmarkItem::default() },
        );
        let (town_a, town_b, person, other) =
            (zh_town(random), zh_town(random), random.of(ZH_PEOPLE), random.of(ZH_PEOPLE));
        let (thing, goods) = (random.of(ZH_THINGS), random.of(ZH_GOODS));
        let (question, answer, choices) = match number % 6 {
            0 => (
                format!("{town_a}的{thing}建于哪一年？"),
                format!("{}年", years[0]),
                years.iter().map(|year| format!("{year}年")).collect(),
            ),
            1 => (
                format!(
                    "{{{person}}}要把{goods}装进木箱运到{town_a}，每箱装{{{a}}}件，一辆马车放得下{{{b}}}箱。路上每十箱会颠坏一箱，当地商人只收完好的货物，请问{{{person}}}这一趟一共卖出多少件{goods}？"
                ),
                format!("{}件", a * b),
                Vec::new(),
            ),
            2 => (format!("谁出资修建了{town_a}的{thing}？"), format!("{town_b}的{person}"), Vec::new()),
            3 => (
                format!(
                    "从{town_a}到{town_b}的山路长{{{a}}}千米，{{{person}}}从一头出发，每小时走{{{c}}}千米，{{{other}}}骑着骡子从另一头同时出发，速度是步行的两倍，他们过多少分钟在收费站相遇？"
                ),
                format!("{}分钟", a * 20 / c),
                Vec::new(),
            ),
            4 => (format!("为什么{town_a}出产的{goods}上面都有印记？"), "防止假冒".to_owned(), Vec::new()),
            _ => (
                format!(
                    "请编写一个函数，读入{thing}每天的开放时间，求出一个星期里最长的连续关闭时间。时间段可能互相重叠，如果结束早于开始，就表示跨过午夜，编号为{number}。"
                ),
                "合并时间段".to_owned(),
                Vec::new(),
            ),
        };
        let answer = Some(answer);
        set.add(
            true,
            &question,
            BenchmarkItem { answer, choices, benchmark: "invented-zh".to_owned(), ..BenchmarkItem::default() },
        );
    }
}

/// Ordinary words that a form's texts differ in: foods, pots, times, what goes with it, last sentences.
const EN: [&str; 5] = [
    "beans|pears|barley|trout|leeks|plums|rye|mutton|chives|quinces|eel|honey",
    "a copper pan|a clay pot|the iron kettle|a deep bowl|the bread oven|a flat stone|an old crock|a wide skillet|the soup tin|a wooden tub",
    "at dusk|before noon|on Sundays|after the harvest|in the first frost|at low tide|for weddings|when it rains|every spring|at the fair",
    "warm cider|sour milk|a slice of cheese|toasted nuts|melted butter|a green salad|pickled onions|dark bread|stewed apples|sharp mustard",
    "Children like it cold.|It keeps for a week.|Guests ask for it twice.|Nobody leaves any.|It is better on the second day.|The cat gets the rest.|Old people salt it again.|Sailors take it along.",
];
const ZH: [&str; 5] = [
    "豆子|鸭梨|大麦|鳟鱼|韭菜|李子|羊肉|香葱|鳗鱼|蜂蜜|芋头|莲藕",
    "一口铜锅|一个瓦罐|那把铁壶|一只深碗|面包炉|一块石板|旧陶坛|平底煎锅|汤桶|小木盆",
    "傍晚时分|中午以前|每逢周日|收割以后|初霜那天|退潮之时|办喜事时|下雨天|开春|赶集那天",
    "温热的果酒|一碗酸奶|几片奶酪|炒香的坚果|化开的黄油|一盘青菜|腌洋葱|黑面包|炖苹果|辣芥末",
    "孩子们爱吃凉的。|可以放上一个星期。|客人总要再添一碗。|从来没有剩下过。|第二天味道更好。|剩下的喂猫。|老人还要加盐。|水手出海也带着。",
];

/// The values of a long text of a form.
pub(crate) fn values(random: &mut Random, zh: bool) -> Vec<&'static str> {
    let lists = if zh { ZH } else { EN };
    [0, 0, 1, 0, 2, 1, 3, 4].map(|list| random.of(&lists[list].split('|').collect::<Vec<_>>())).to_vec()
}

/// The text: the same sentences, with other ordinary words in them.
pub(crate) fn of_a_form(values: &[&str], zh: bool) -> String {
    let [a, b, pot, c, when, second, with, close] = *values else { unreachable!("eight values") };
    if zh {
        return format!(
            "先把{a}洗净切成小块，再加入{b}和少许盐，放进{pot}里用小火慢慢煮。水开以后撇去浮沫，撒上{c}，盖好盖子再等一刻钟。\
             镇上的人{when}做这道菜，盛在{second}里端上桌，旁边配{with}。{close}"
        );
    }
    format!(
        "Wash the {a} and cut it into small pieces. Add the {b} and a pinch of salt, and cook both slowly in {pot} over a \
         low fire. When the water boils, skim it, throw in the {c}, and put the lid on for a quarter of an hour. In our \
         town it is made {when} and brought to the table in {second}, with {with} on the side. {close}"
    )
}
