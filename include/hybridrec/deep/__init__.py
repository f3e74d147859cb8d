"""Shared parts of the torch models.

    schedule    Schedule: the options of a training; a model's Config inherits them (no torch)
    held_out    the cut: a pair of some users is held out, to know when to stop (no torch)
    training_loop  train(): one loop for every network
    fields      users and items as integer codes (no torch)
    sampling    negatives, drawn by popularity (no torch)
    pairs       PairTask: pairs against sampled negatives
    pair_model  PairModel: fit, score_pairs, save and load of every pair scorer (no torch until it is needed)
    towers      TowerTask: pairs against the other items of the batch
    sequences   SequenceTask: the next item of a sequence
    networks/   the networks themselves

A new torch model writes a network and a TrainingTask, which says what the network learns from and is judged by:

    with reproducible(data.seed):                  # one thread, torch's generator seeded and put back
        task = MyTask(MyNetwork(config), ...)  # .network, .n_examples, .loss(examples, rng), .judge()
        fit = train(task, config, data.seed, "models.my_model")
    save_weights(task.network, folder / "network.safetensors")

The modules marked (no torch) may be imported anywhere; the others only inside a function of a model file, because
parsing a DAG or listing the models must not cost an import of torch.
"""
