//! The images of the demonstration and what is planted among them. Everything follows from an image's number, so that
//! every run makes the same bytes.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::reconcile::report::found::{Finding, Found};

/// How many images the source has.
pub(super) const IMAGES: u32 = 2_000;
/// How many users the source has beside them; the spec's `where` leaves them out.
pub(super) const USERS: u32 = 40;
/// Images that only the target has.
const EXTRAS: u32 = 2;
/// 2024-01-01T00:00:00Z.
const FIRST_MS: i64 = 1_704_067_200_000;

/// A record as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// From 1 on.
    pub(super) number: u32,
    pub(super) user: u32,
    pub(super) mime_type: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) byte_size: u64,
    /// In ten-thousandths.
    pub(super) price: u64,
    pub(super) tags: Vec<&'static str>,
    /// Milliseconds since the epoch.
    pub(super) created_ms: i64,
    /// `None` where the item has no such attribute.
    pub(super) note: Option<String>,
    pub(super) views: u32,
}

/// What is wrong with an image in the target, or looks as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plant {
    /// The height is another one.
    Height,
    /// The price is a cent too high.
    Price,
    /// The last digit of a size was lost, as on a way through a float.
    Digit,
    /// The time of creation is an hour late.
    Hour,
    /// The empty string became NULL.
    Null,
    /// The image is not there.
    Missing,
    /// The image is only there.
    Extra,
    /// The image is there twice.
    Twice,
    /// The price is no number.
    Cast,
    /// The milliseconds were cut off, which the spec tolerates.
    Tolerated,
}

impl Plant {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 10] = [
        Self::Height,
        Self::Price,
        Self::Digit,
        Self::Hour,
        Self::Null,
        Self::Missing,
        Self::Extra,
        Self::Twice,
        Self::Cast,
        Self::Tolerated,
    ];

    /// What was done, in words that follow a number.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Height => "with another height, nearly all of them GIFs",
            Self::Price => "with a price that is a cent too high",
            Self::Digit => "with a size of 9007199254740993 that became …992, as on a way through a float",
            Self::Hour => "created an hour later than in the source",
            Self::Null => "whose empty note became NULL",
            Self::Missing => "left out of the target",
            Self::Extra => "only in the target",
            Self::Twice => "in the target twice",
            Self::Cast => "with `n/a` where the target should have a price: it cannot be compared",
            Self::Tolerated => "created less than 1 s apart: equal, because the spec tolerates it",
        }
    }

    /// What recon must find of such an image; nothing, where the spec tolerates it.
    pub(super) fn finding(self) -> Option<Finding> {
        let mismatch = |field: &str| Some(Finding::Mismatch { field: field.to_owned() });
        match self {
            Self::Height => mismatch("height"),
            Self::Price => mismatch("price"),
            Self::Digit => mismatch("byte_size"),
            Self::Hour => mismatch("created_at"),
            Self::Null => mismatch("note"),
            Self::Missing => Some(Finding::Missing),
            Self::Extra => Some(Finding::Extra),
            Self::Twice => Some(Finding::Duplicate { source_count: 1, target_count: 2 }),
            Self::Cast => Some(Finding::Unchecked),
            Self::Tolerated => None,
        }
    }
}

impl Image {
    /// The key that both sides share.
    pub(super) fn id(&self) -> String {
        format!("img-{:05}", self.number)
    }

    /// What is planted in it.
    pub(super) fn plant(&self) -> Option<Plant> {
        let n = self.number;
        Some(match n {
            _ if n > IMAGES => Plant::Extra,
            1024 => Plant::Digit,
            777 => Plant::Twice,
            1812 => Plant::Cast,
            500 | 1500 => Plant::Height,
            _ if n % 90 == 7 => Plant::Height,
            _ if n % 400 == 101 => Plant::Missing,
            _ if n % 600 == 88 => Plant::Price,
            _ if n % 1000 == 333 => Plant::Hour,
            _ if n % 500 == 44 => Plant::Null,
            _ if n % 160 == 12 => Plant::Tolerated,
            _ => return None,
        })
    }

    /// The price with as many digits as it needs.
    pub(super) fn price_text(&self) -> String {
        let text = format!("{}.{:04}", self.price / 10_000, self.price % 10_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The time of creation.
    pub(super) fn created(&self) -> Timestamp {
        Timestamp::from_millisecond(self.created_ms).expect("the times of the demonstration are near ours")
    }
}

/// The images of the source.
pub(super) fn images() -> impl Iterator<Item = Image> {
    (1..=IMAGES).map(image)
}

/// The images that only the target has.
pub(super) fn extras() -> impl Iterator<Item = Image> {
    (IMAGES + 1..=IMAGES + EXTRAS).map(image)
}

fn image(number: u32) -> Image {
    const TAGS: [&str; 8] = ["blue", "cover", "draft", "été", "product", "print", "summer", "web"];
    const SIDES: [u32; 5] = [640, 800, 1_280, 1_920, 4_096];
    // Spreads neighbouring numbers; any odd multiplier does.
    let mixed = number.wrapping_mul(2_654_435_761);
    let pick = |shift: u32, of: u32| (mixed >> shift) % of;
    let tags: Vec<&str> =
        TAGS.iter().enumerate().filter(|(i, _)| pick(*i as u32, 3) == 0).map(|(_, t)| *t).collect();
    let mut image = Image {
        number,
        user: 1 + pick(3, USERS),
        mime_type: match number % 10 {
            7 => "image/gif",
            6 | 8 => "image/png",
            9 => "image/webp",
            _ => "image/jpeg",
        },
        width: SIDES[pick(5, 5) as usize],
        height: SIDES[pick(9, 5) as usize],
        byte_size: 10_000 + u64::from(mixed >> 8),
        price: u64::from(pick(4, 400)) * 2_500 + 9_900,
        // A set of DynamoDB's is never empty.
        tags: if tags.is_empty() { vec!["untagged"] } else { tags },
        created_ms: FIRST_MS + i64::from(number) * 7_423_117,
        note: match number % 50 {
            2 => Some(String::new()),
            n if n % 3 == 0 => {
                Some(format!("shot {number}, \"{}\"", if n % 2 == 0 { "Zürich" } else { "Genève" }))
            }
            _ => None,
        },
        views: pick(6, 900),
    };
    match image.plant() {
        // One more than the largest integer up to which a float knows every one.
        Some(Plant::Digit) => image.byte_size = 9_007_199_254_740_993,
        Some(Plant::Null) => image.note = Some(String::new()),
        // A whole second would be the same with its milliseconds cut off.
        Some(Plant::Tolerated) => image.created_ms |= 1,
        _ => {}
    }
    image
}

/// How many images carry a plant.
pub(super) fn planted(plant: Plant) -> u64 {
    images().chain(extras()).filter(|image| image.plant() == Some(plant)).count() as u64
}

/// Everything that recon must find, and nothing else.
pub(super) fn expected() -> BTreeSet<Found> {
    let found = |image: Image| {
        let finding = image.plant()?.finding()?;
        Some(Found { key: vec![Some(image.id())], finding })
    };
    images().chain(extras()).filter_map(found).collect()
}

/// How many of the findings are of images that carry the plant, and say what it is.
pub(super) fn found_of(plant: Plant, all: &BTreeSet<Found>) -> u64 {
    let found = |image: &Image| {
        let finding = plant.finding().filter(|_| image.plant() == Some(plant))?;
        all.get(&Found { key: vec![Some(image.id())], finding })
    };
    images().chain(extras()).filter(|image| found(image).is_some()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plant_is_there() {
        for plant in Plant::ALL {
            assert!(planted(plant) > 0, "nothing is planted as {plant:?}");
        }
    }

    #[test]
    fn tolerated_times_have_milliseconds() {
        for image in images().filter(|image| image.plant() == Some(Plant::Tolerated)) {
            assert_ne!(image.created_ms % 1_000, 0, "{}", image.id());
        }
    }
}
