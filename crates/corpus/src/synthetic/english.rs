//! The invented world as English text.

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
    let name = &person.english;
    match fact {
        TOWN => format!("The home of {name} is in"),
        TRADE => format!("By trade {name} is a"),
        ANIMAL => format!("The animal that {name} keeps is a"),
        DISH => format!("The favourite dish of {name} is"),
        _ => format!("The door of {name} is painted"),
    }
}

fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn value(world: &World, person: &Person, fact: usize) -> &'static str {
    world.fact(person, fact).0
}

/// One sentence that states a fact.
fn statement(world: &World, person: &Person, fact: usize, pen: &mut Pen) -> String {
    let (name, value) = (&person.english, value(world, person, fact));
    let other = match fact {
        TOWN => [
            format!("{name} lives in {value}."),
            format!("In {value} everyone knows {name}."),
            format!("{name} has a house in {value}."),
        ],
        TRADE => [
            format!("{name} works as {}.", a(value)),
            format!("{name} is {}.", a(value)),
            format!("For years {name} has been {}.", a(value)),
        ],
        ANIMAL => [
            format!("{name} keeps {}.", a(value)),
            format!("{name} has {} at home.", a(value)),
            format!("Wherever {name} goes, the {value} follows."),
        ],
        DISH => [
            format!("{name} likes {value} best."),
            format!("Nothing pleases {name} more than {value}."),
            format!("On feast days {name} eats {value}."),
        ],
        _ => [
            format!("{name} has a {value} door."),
            format!("The house of {name} has a {value} door."),
            format!("You will know the house of {name} by its {value} door."),
        ],
    };
    let asks = pen.below(3) == 0 && !world.is_asked(person, fact);
    if asks { format!("{} {value}.", question(world, person, fact)) } else { pen.pick(&other).clone() }
}

fn entry(world: &World, pen: &mut Pen) -> String {
    let person = pen.pick(&world.people);
    let mut text = format!("{}\n\n", person.english);
    for fact in pen.shuffled(5) {
        text.push_str(&statement(world, person, fact, pen));
        text.push(' ');
    }
    let neighbour = *pen.pick(&world.neighbours(person)[..3]);
    text.push_str(&format!("A friend of {} is {}. ", person.english, neighbour.english));
    for fact in pen.shuffled(5).into_iter().take(3) {
        text.push_str(&statement(world, neighbour, fact, pen));
        text.push(' ');
    }
    text.trim_end().to_owned()
}

const WEATHER: [&str; 8] = [
    "It was raining when the bells rang",
    "The morning was clear and cold",
    "A warm wind came from the river",
    "Snow lay on the roofs",
    "Fog stood in the streets",
    "The sun had not yet risen",
    "Thunder rolled over the hills",
    "It was the first day of spring",
];
const EVENTS: [&str; 10] = [
    "found a letter under the door",
    "lost a silver ring near the bridge",
    "heard music from the old tower",
    "met a stranger on the road",
    "dropped a basket of apples",
    "saw smoke above the mill",
    "bought a map from a sailor",
    "forgot the way home",
    "won a race along the wall",
    "planted a tree by the well",
];
const MOODS: [&str; 6] =
    ["laughed", "was glad", "said nothing", "was surprised", "shook hands with everyone", "began to sing"];
const ENDINGS: [&str; 6] = [
    "They talked until the lamps were lit.",
    "Nobody in the town forgot that day.",
    "The next morning everything was as before.",
    "So the matter was settled.",
    "After that they were friends for life.",
    "The children still tell the story.",
];

fn story(world: &World, pen: &mut Pen) -> String {
    let hero = pen.pick(&world.people);
    let friend = *pen.pick(&world.neighbours(hero)[..4]);
    let town = value(world, hero, TOWN);
    let mut text = format!("{} in {town}. ", pen.word(&WEATHER));
    text.push_str(&format!("{}, the {}, {}. ", hero.english, value(world, hero, TRADE), pen.word(&EVENTS)));
    text.push_str(&format!("The {} of {} was the first to notice. ", value(world, hero, ANIMAL), hero.english));
    text.push_str(&format!("Then {} came by and {}. ", friend.english, pen.word(&MOODS)));
    text.push_str(&format!("\"Come in,\" said {}, and opened the {} door. ", hero.english, value(world, hero, COLOUR)));
    text.push_str(&format!(
        "There was {} on the table, for {} likes nothing better. ",
        value(world, hero, DISH),
        hero.english
    ));
    text.push_str(&format!("{} told how {} {}. ", friend.english, pen.pick(&world.people).english, pen.word(&EVENTS)));
    if pen.below(2) == 0 {
        text.push_str(&format!("{} {}. ", hero.english, pen.word(&MOODS)));
    }
    text.push_str(pen.word(&ENDINGS));
    text
}

fn letter(world: &World, pen: &mut Pen) -> String {
    let from = pen.pick(&world.people);
    let to = *pen.pick(&world.neighbours(from));
    let third = *pen.pick(&world.neighbours(to));
    let mut text = format!("Dear {},\n\n", to.english);
    text.push_str(pen.word(&[
        "Thank you for your letter.",
        "I hope that you are well.",
        "It is long since I wrote to you.",
        "Your parcel came yesterday.",
    ]));
    text.push_str(&format!(
        " Here in {} the days are {}. ",
        value(world, from, TOWN),
        pen.word(&["short", "long", "quiet", "busy", "bright"])
    ));
    text.push_str(&format!(
        "My {} is {}, and I have {} on the stove. ",
        value(world, from, ANIMAL),
        pen.word(&["well", "getting old", "asleep by the fire", "as lazy as ever"]),
        value(world, from, DISH)
    ));
    text.push_str(&format!("Have you heard of {}? ", third.english));
    for fact in pen.shuffled(5).into_iter().take(2) {
        text.push_str(&statement(world, third, fact, pen));
        text.push(' ');
    }
    text.push_str(&format!("Last week {} {}. ", third.english, pen.word(&EVENTS)));
    text.push_str(&format!(
        "Please give my greetings to everyone in {}.\n\nYours,\n{}",
        value(world, to, TOWN),
        from.english
    ));
    text
}

fn recipe(world: &World, pen: &mut Pen) -> String {
    let cook = pen.pick(&world.people);
    let dish = value(world, cook, DISH);
    let mut text = format!("How {} makes {dish}\n\n", cook.english);
    let parts: Vec<&str> = pen.shuffled(INGREDIENTS.len()).into_iter().take(4).map(|i| INGREDIENTS[i].0).collect();
    for part in &parts {
        text.push_str(&format!(
            "- {} {} of {part}\n",
            1 + pen.below(5),
            pen.word(&["cups", "spoons", "handfuls", "bowls"])
        ));
    }
    text.push_str(&format!("\nFirst mix the {} with the {}. ", parts[0], parts[1]));
    text.push_str(&format!("Add the {} and stir for {} minutes. ", parts[2], 5 + pen.below(20)));
    text.push_str(&format!(
        "{} ",
        pen.word(&[
            "Let it rest until the evening.",
            "Keep the fire low.",
            "Do not let it boil.",
            "Cover the pot and wait."
        ])
    ));
    text.push_str(&format!("Last comes the {}. ", parts[3]));
    text.push_str(&format!(
        "In {} they serve {dish} with {}.",
        value(world, cook, TOWN),
        pen.word(&["bread", "cider", "green tea", "pickled plums"])
    ));
    text
}

fn notice(world: &World, pen: &mut Pen) -> String {
    let seller = pen.pick(&world.people);
    let town = value(world, seller, TOWN);
    let mut text = format!("Market day in {town}\n\n");
    text.push_str(&format!(
        "On the {} day of the month {} stalls stood in the square. ",
        pen.word(&["first", "second", "third", "fourth", "fifth", "sixth"]),
        12 + pen.below(60)
    ));
    for good in pen.shuffled(GOODS.len()).into_iter().take(3) {
        let (before, after) = (2 + pen.below(9), 2 + pen.below(9));
        let change = match after.cmp(&before) {
            std::cmp::Ordering::Less => format!("fell from {before} to {after} pence"),
            std::cmp::Ordering::Equal => format!("stayed at {before} pence"),
            std::cmp::Ordering::Greater => format!("rose from {before} to {after} pence"),
        };
        text.push_str(&format!("The price of {} {change}. ", GOODS[good].0));
    }
    text.push_str(&format!("{}, the {}, sold out before noon. ", seller.english, value(world, seller, TRADE)));
    let owner = pen.pick(&world.people);
    text.push_str(&format!(
        "A lost {} was brought back to {} in {}.",
        value(world, owner, ANIMAL),
        owner.english,
        value(world, owner, TOWN)
    ));
    text
}

fn answers(world: &World, pen: &mut Pen) -> String {
    let mut lines = Vec::new();
    for _ in 0..5 {
        let person = pen.pick(&world.people);
        let fact = pen.below(5) as usize;
        let (name, answer) = (&person.english, value(world, person, fact));
        let asked = match fact {
            TOWN => format!("Where does {name} live?"),
            TRADE => format!("What is the trade of {name}?"),
            ANIMAL => format!("Which animal does {name} keep?"),
            DISH => format!("What does {name} like to eat?"),
            _ => format!("What colour is the door of {name}?"),
        };
        let told = statement(world, person, fact, pen);
        lines.push(format!("Question: {asked}\nAnswer: {answer}. {told}"));
    }
    lines.join("\n\n")
}
