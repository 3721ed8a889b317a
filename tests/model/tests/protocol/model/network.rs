//! Everything that was ever sent, as a set of numbers.

/// A set of messages, by the numbers that [`Frames`](super::frames::Frames) has given them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    /// One bit for each number; the last word is not 0.
    words: Vec<u64>,
}

impl Network {
    /// Whether that message is among them.
    pub(crate) fn contains(&self, frame: u32) -> bool {
        let word = self.words.get(frame as usize / 64);
        word.is_some_and(|word| word >> (frame % 64) & 1 == 1)
    }

    /// That message is among them from now on: whether that is new.
    pub(crate) fn insert(&mut self, frame: u32) -> bool {
        let at = frame as usize / 64;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let (word, bit) = (&mut self.words[at], 1 << (frame % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Whether all of them are in `other` as well.
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        let mut pairs = self.words.iter().zip(&other.words);
        self.words.len() <= other.words.len() && pairs.all(|(a, b)| a & !b == 0)
    }

    /// Their numbers, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().zip(0..).flat_map(|(word, at)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_numbers() {
        let mut network = Network::default();
        let numbers = [3, 64, 0, 200, 3];
        assert_eq!(
            numbers.map(|n| network.insert(n)),
            [true, true, true, true, false]
        );
        assert!(network.iter().eq([0, 3, 64, 200]));
        assert!(network.contains(64) && !network.contains(65) && !network.contains(1000));
        let mut part = Network::default();
        assert!(part.is_part_of(&network) && !network.is_part_of(&part));
        part.insert(64);
        assert!(part.is_part_of(&network));
        part.insert(1);
        assert!(!part.is_part_of(&network));
    }
}
