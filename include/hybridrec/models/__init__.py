"""Base models: one file each, found by file name, trained once a split.

An extension has `DOC` (one line), `BECAUSE` (the sentence a person reads when this retriever retrieved an item),
`REQUIRED` (True: without it there is no night), a frozen `Config` with its options, and `Model`: a Retriever, which
retrieves items, or a PairScorer, which only scores what others have retrieved; hybridrec.types has both. It may have

    BECAUSE_OF   the sentence when one item of the history stands out: `{title}` names it, `{categories}` what both share;
                 its Model may be one that KnowsSimilarItems, which also finds that item
    NEEDS_TYPES    True: it tells one type of events from another, so a night whose events are all of one type goes without it
    NEEDS_REPEATS  True: it retrieves what the user chose before, so a night whose lists may not hold that goes without it
    SEARCH       options that are worth a search on new data, by name: Log(low, high), Linear(low, high) or OneOf((...))

    python -m jobs.train_model --run-id R --model als --split full
"""
