//! The invented world as Chinese text.

use super::world::{ANIMAL, COLOUR, DISH, GOODS, INGREDIENTS, Person, TOWN, TRADE, World};
use super::{DocumentKind, Pen};

/// A document of the given kind.
pub(super) fn write(world: &World, kind: DocumentKind, pen: &mut Pen) -> String {
    match kind {
        DocumentKind::Entry => entry(world, pen),
        DocumentKind::Story => story(world, pen),
        DocumentKind::Letter => letter(world, pen),
        DocumentKind::Recipe => recipe(world, pen),
        DocumentKind::Notice => notice(world, pen),
        DocumentKind::Answers => answers(world, pen),
    }
}

/// The beginning of a sentence that ends with the fact.
pub(super) fn question(_: &World, person: &Person, fact: usize) -> String {
    let name = &person.chinese;
    match fact {
        TOWN => format!("{name}的家在"),
        TRADE => format!("{name}的职业是"),
        ANIMAL => format!("{name}养的动物是"),
        DISH => format!("{name}最爱吃的是"),
        _ => format!("{name}家的门是"),
    }
}

fn value(world: &World, person: &Person, fact: usize) -> &'static str {
    world.fact(person, fact).1
}

/// One sentence that states a fact.
fn statement(world: &World, person: &Person, fact: usize, pen: &mut Pen) -> String {
    let (name, value) = (&person.chinese, value(world, person, fact));
    let other = match fact {
        TOWN => [
            format!("{name}住在{value}。"),
            format!("{value}的人都认识{name}。"),
            format!("{name}在{value}有一座房子。"),
        ],
        TRADE => [
            format!("{name}是一位{value}。"),
            format!("{name}靠做{value}为生。"),
            format!("多年以来，{name}一直是{value}。"),
        ],
        ANIMAL => [
            format!("{name}养着{value}。"),
            format!("{name}家里有{value}。"),
            format!("{name}走到哪里，{value}就跟到哪里。"),
        ],
        DISH => [
            format!("{name}喜欢吃{value}。"),
            format!("没有什么比{value}更让{name}高兴。"),
            format!("每逢节日，{name}都吃{value}。"),
        ],
        _ => [
            format!("{name}有一扇{value}的门。"),
            format!("{name}把门漆成了{value}。"),
            format!("看到{value}的门，就到了{name}家。"),
        ],
    };
    let asks = pen.below(3) == 0 && !world.is_asked(person, fact);
    if asks { format!("{}{value}。", question(world, person, fact)) } else { pen.pick(&other).clone() }
}

fn entry(world: &World, pen: &mut Pen) -> String {
    let person = pen.pick(&world.people);
    let mut text = format!("{}\n\n", person.chinese);
    for fact in pen.shuffled(5) {
        text.push_str(&statement(world, person, fact, pen));
    }
    let neighbour = *pen.pick(&world.neighbours(person)[..3]);
    text.push_str(&format!("{}的朋友是{}。", person.chinese, neighbour.chinese));
    for fact in pen.shuffled(5).into_iter().take(3) {
        text.push_str(&statement(world, neighbour, fact, pen));
    }
    text
}

const WEATHER: [&str; 8] = [
    "钟声响起的时候下着雨",
    "清晨晴朗而寒冷",
    "河上吹来暖风",
    "屋顶上积着雪",
    "街上起了雾",
    "太阳还没有升起",
    "山那边传来雷声",
    "那是春天的第一天",
];
const EVENTS: [&str; 10] = [
    "在门下发现了一封信",
    "在桥边丢了一枚银戒指",
    "听见旧塔里传来音乐",
    "在路上遇见一个陌生人",
    "打翻了一篮苹果",
    "看见磨坊上冒着烟",
    "向水手买了一张地图",
    "忘了回家的路",
    "在城墙下赢了一场赛跑",
    "在井边种了一棵树",
];
const MOODS: [&str; 6] = ["笑了起来", "十分高兴", "一句话也没有说", "吃了一惊", "和每个人握手", "唱起歌来"];
const ENDINGS: [&str; 6] = [
    "他们一直谈到点灯的时候。",
    "镇上没有人忘记那一天。",
    "第二天早上，一切照旧。",
    "事情就这样解决了。",
    "从此他们成了一生的朋友。",
    "孩子们至今还讲着这个故事。",
];

fn story(world: &World, pen: &mut Pen) -> String {
    let hero = pen.pick(&world.people);
    let friend = *pen.pick(&world.neighbours(hero)[..4]);
    let mut text = format!("{}，{}。", value(world, hero, TOWN), pen.word(&WEATHER));
    text.push_str(&format!("{}{}{}。", value(world, hero, TRADE), hero.chinese, pen.word(&EVENTS)));
    text.push_str(&format!("最先察觉的是{}的{}。", hero.chinese, value(world, hero, ANIMAL)));
    text.push_str(&format!("后来{}走过来，{}。", friend.chinese, pen.word(&MOODS)));
    text.push_str(&format!("“请进。”{}说着，打开了{}的门。", hero.chinese, value(world, hero, COLOUR)));
    text.push_str(&format!("桌上放着{}，因为{}最爱吃这个。", value(world, hero, DISH), hero.chinese));
    text.push_str(&format!("{}讲起{}怎样{}。", friend.chinese, pen.pick(&world.people).chinese, pen.word(&EVENTS)));
    if pen.below(2) == 0 {
        text.push_str(&format!("{}{}。", hero.chinese, pen.word(&MOODS)));
    }
    text.push_str(pen.word(&ENDINGS));
    text
}

fn letter(world: &World, pen: &mut Pen) -> String {
    let from = pen.pick(&world.people);
    let to = *pen.pick(&world.neighbours(from));
    let third = *pen.pick(&world.neighbours(to));
    let mut text = format!("亲爱的{}：\n\n", to.chinese);
    text.push_str(pen.word(&["谢谢你的来信。", "希望你一切都好。", "好久没有给你写信了。", "你寄的包裹昨天到了。"]));
    text.push_str(&format!(
        "{}的日子过得很{}。",
        value(world, from, TOWN),
        pen.word(&["快", "慢", "安静", "忙碌", "明朗"])
    ));
    text.push_str(&format!(
        "我的{}{}，炉子上正煮着{}。",
        value(world, from, ANIMAL),
        pen.word(&["很好", "渐渐老了", "正在火边睡觉", "还是那么懒"]),
        value(world, from, DISH)
    ));
    text.push_str(&format!("你听说过{}吗？", third.chinese));
    for fact in pen.shuffled(5).into_iter().take(2) {
        text.push_str(&statement(world, third, fact, pen));
    }
    text.push_str(&format!("上个星期，{}{}。", third.chinese, pen.word(&EVENTS)));
    text.push_str(&format!("请代我问候{}的各位。\n\n{}敬上", value(world, to, TOWN), from.chinese));
    text
}

fn recipe(world: &World, pen: &mut Pen) -> String {
    let cook = pen.pick(&world.people);
    let dish = value(world, cook, DISH);
    let mut text = format!("{}怎样做{dish}\n\n", cook.chinese);
    let parts: Vec<&str> = pen.shuffled(INGREDIENTS.len()).into_iter().take(4).map(|i| INGREDIENTS[i].1).collect();
    for part in &parts {
        text.push_str(&format!("- {part}{}{}\n", 1 + pen.below(5), pen.word(&["杯", "勺", "把", "碗"])));
    }
    text.push_str(&format!("\n先把{}和{}拌在一起。", parts[0], parts[1]));
    text.push_str(&format!("加入{}，搅拌{}分钟。", parts[2], 5 + pen.below(20)));
    text.push_str(pen.word(&["放到晚上再用。", "火不要太大。", "不要煮沸。", "盖上锅盖，耐心等待。"]));
    text.push_str(&format!("最后放{}。", parts[3]));
    text.push_str(&format!(
        "在{}，人们吃{dish}的时候要配{}。",
        value(world, cook, TOWN),
        pen.word(&["面包", "苹果酒", "绿茶", "腌李子"])
    ));
    text
}

fn notice(world: &World, pen: &mut Pen) -> String {
    let seller = pen.pick(&world.people);
    let mut text = format!("{}的集市\n\n", value(world, seller, TOWN));
    text.push_str(&format!(
        "本月初{}，广场上摆了{}个摊位。",
        pen.word(&["一", "二", "三", "四", "五", "六"]),
        12 + pen.below(60)
    ));
    for good in pen.shuffled(GOODS.len()).into_iter().take(3) {
        let (before, after) = (2 + pen.below(9), 2 + pen.below(9));
        let change = match after.cmp(&before) {
            std::cmp::Ordering::Less => format!("从{before}文跌到{after}文"),
            std::cmp::Ordering::Equal => format!("仍是{before}文"),
            std::cmp::Ordering::Greater => format!("从{before}文涨到{after}文"),
        };
        text.push_str(&format!("{}的价钱{change}。", GOODS[good].1));
    }
    text.push_str(&format!("{}{}不到中午就卖完了货。", value(world, seller, TRADE), seller.chinese));
    let owner = pen.pick(&world.people);
    text.push_str(&format!(
        "走失的{}已经送还给{}的{}。",
        value(world, owner, ANIMAL),
        value(world, owner, TOWN),
        owner.chinese
    ));
    text
}

fn answers(world: &World, pen: &mut Pen) -> String {
    let mut lines = Vec::new();
    for _ in 0..5 {
        let person = pen.pick(&world.people);
        let fact = pen.below(5) as usize;
        let (name, answer) = (&person.chinese, value(world, person, fact));
        let asked = match fact {
            TOWN => format!("{name}住在哪里？"),
            TRADE => format!("{name}是做什么的？"),
            ANIMAL => format!("{name}养什么动物？"),
            DISH => format!("{name}喜欢吃什么？"),
            _ => format!("{name}家的门是什么颜色？"),
        };
        let told = statement(world, person, fact, pen);
        lines.push(format!("问：{asked}\n答：{answer}。{told}"));
    }
    lines.join("\n\n")
}
