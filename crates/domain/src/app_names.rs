//! Names that the platform makes up for apps whose user gave none.

use crate::names::AppName;

/// Number of names that can be generated.
pub const GENERATED_NAMES: usize = ADJECTIVES.len() * NOUNS.len();

/// The made-up name of this number, an adjective of six letters and a noun of eight (docs/spec/api.md 4.5).
/// Numbers wrap around at [`GENERATED_NAMES`].
pub fn generated_name(number: usize) -> AppName {
    let adjective = ADJECTIVES[number / NOUNS.len() % ADJECTIVES.len()];
    let noun = NOUNS[number % NOUNS.len()];
    AppName::parse(&format!("{adjective}-{noun}")).expect("the words are lower-case letters")
}

#[rustfmt::skip]
const ADJECTIVES: [&str; 66] = [
    "active", "amused", "artful", "bouncy", "breezy", "bright", "candid", "cheery", "clever",
    "copper", "cosmic", "cuddly", "dapper", "daring", "docile", "earthy", "elated", "famous",
    "floral", "fluffy", "frosty", "fruity", "genial", "gentle", "golden", "hearty", "hidden",
    "honest", "humble", "jovial", "joyful", "lively", "loving", "marble", "mellow", "mighty",
    "modern", "native", "nimble", "ornate", "placid", "polite", "quaint", "rustic", "serene",
    "silver", "simple", "smooth", "solemn", "spruce", "steady", "strong", "sturdy", "subtle",
    "sunlit", "superb", "tender", "timely", "unique", "upbeat", "velvet", "violet", "wooden",
    "woolly", "worthy", "yellow",
];

#[rustfmt::skip]
const NOUNS: [&str; 72] = [
    "airplane", "antelope", "aqueduct", "armchair", "asteroid", "backpack", "bagpipes",
    "barnacle", "beetroot", "bluebird", "broccoli", "calendar", "campfire", "cardinal",
    "chestnut", "cinnamon", "cucumber", "daffodil", "dinosaur", "dumpling", "eggplant",
    "elephant", "envelope", "firewood", "flamingo", "fountain", "geranium", "hedgehog",
    "highland", "hyacinth", "kangaroo", "kingfish", "ladybird", "lavender", "lemonade",
    "magnolia", "marigold", "moccasin", "moonbeam", "mountain", "mushroom", "nautilus",
    "notebook", "obsidian", "overture", "pinecone", "platypus", "porridge", "reindeer",
    "sandbank", "sandwich", "sapphire", "seahorse", "snowball", "snowfall", "squirrel",
    "starfish", "starling", "sunlight", "tamarind", "teaspoon", "terrapin", "tortoise",
    "treasure", "triangle", "umbrella", "vineyard", "virtuoso", "windmill", "woodland",
    "woodwind", "zeppelin",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_gives_another_name_of_six_and_eight_letters() {
        let names: BTreeSet<_> = (0..GENERATED_NAMES).map(generated_name).collect();

        assert_eq!(names.len(), GENERATED_NAMES);
        for name in &names {
            let lengths: Vec<_> = name.as_str().split('-').map(str::len).collect();
            assert_eq!(lengths, [6, 8], "{name}");
        }
        assert_eq!(generated_name(GENERATED_NAMES), generated_name(0));
    }
}
