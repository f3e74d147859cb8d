"""Base models: one file each, found by file name, trained once a split.

An extension has `DOC` (one line), `BECAUSE` (the sentence a person reads when this retriever retrieved an item),
`REQUIRED` (True: without it there is no night), a frozen `Config` with its options, and `Model`: a Retriever, which
retrieves items, or a PairScorer, which only scores what others have retrieved; hybridrec.types has both. It may have

    BECAUSE_OF   the sentence when one item of the history stands out: `{title}` names it, `{categories}` what both share;
                 its Model may be one that KnowsSimilarItems, which also finds that item
    NEEDS        what a night must have, or it goes without the model: "repeats", its lists may hold what the user chose before, which a
                 model that needs them retrieves; "vectors", the catalogue has a column of them; "types", events are of several types
    SEARCH       options that are worth a search on new data, by name: Log(low, high), Linear(low, high) or OneOf((...))
    decide       decide(data, config) -> options that are found out once a run, on the data of its ranker split, for the fits of all splits

    python -m jobs.train_model --run-id R --model als --split full
"""
