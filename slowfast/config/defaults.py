"""Our options: the default of each, and what it does in one line.

Names and defaults are PySlowFast's where it has the option. Those of its options that no recipe
sets, or that nothing here reads, stand in ``upstream.yaml``. A user's own file adds its options in
``custom_config``.
"""

from __future__ import annotations

from slowfast.config import compat, custom_config
from slowfast.config.derive import derive
from slowfast.config.node import CfgNode
from slowfast.config.validate import validate

_C = CfgNode()

# ---- the run ----
_C.TASK = ""  # prefix of checkpoint names
_C.NUM_GPUS = -1  # GPUs of this machine, a process each; 0 = the CPU, -1 = all, or the CPU
_C.NUM_SHARDS = 1  # machines
_C.SHARD_ID = 0  # index of this machine
_C.OUTPUT_DIR = "runs/default"  # everything that a run writes goes here
_C.RNG_SEED = 1  # seed of every generator (plus the rank)
_C.DETERMINISTIC = True  # ask torch for deterministic algorithms
_C.LOG_PERIOD = 10  # iterations between two progress lines, and the window of their medians
_C.LOG_MODEL_INFO = True  # log parameters and FLOPs at the start
_C.DIST_BACKEND = "nccl"  # process-group backend: nccl or gloo (CPU processes always use gloo)
_C.EXTENSIONS = []  # modules or .py files to import before anything is built

_C.LOG = CfgNode()
_C.LOG.PROGRESS = "auto"  # live line of the console: auto, rich, plain or none

# ---- training ----
_C.TRAIN = CfgNode()
_C.TRAIN.ENABLE = True  # run training
_C.TRAIN.DATASET = "kinetics"  # registered data set of training and validation
_C.TRAIN.BATCH_SIZE = 64  # clips of a step on one machine, over its GPUs; validation uses it too
_C.TRAIN.TOTAL_BATCH_SIZE = 0  # clips of an optimizer step, kept by accumulation; 0 = as it comes
_C.TRAIN.EPOCH_SIZE = 0  # repeat the list to about this many videos an epoch; 0 = each once
_C.TRAIN.DROP_LAST = "auto"  # leave an incomplete last batch out: True, False, auto = up to 5 %
_C.TRAIN.ACCUMULATION_STEPS = 1  # steps whose gradients make one optimizer step
_C.TRAIN.ACCUMULATION_TAIL = "step"  # those left at an epoch's end: step, or carry to the next
_C.TRAIN.EVAL_PERIOD = 10  # validate after every n-th epoch and the last; 0 = the last only
_C.TRAIN.CHECKPOINT_PERIOD = 10  # save after every n-th epoch and the last
_C.TRAIN.KEEP_LAST = 0  # newest checkpoints to keep; 0 = all
_C.TRAIN.SAVE_BEST = True  # keep the weights of the best validation as checkpoint_best.pyth
_C.TRAIN.AUTO_RESUME = True  # continue from the newest checkpoint in OUTPUT_DIR
_C.TRAIN.CHECKPOINT_FILE_PATH = ""  # weights to start from (weights only)
_C.TRAIN.CHECKPOINT_TYPE = "pytorch"  # format of that file; see TEST.CHECKPOINT_TYPE
_C.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN = ()  # substrings removed from the file's keys
_C.TRAIN.MIXED_PRECISION = False  # autocast (and loss scaling for float16)
_C.TRAIN.AMP_DTYPE = "bfloat16"  # bfloat16 or float16
_C.TRAIN.COMPILE = False  # torch.compile the model
_C.TRAIN.SCHEDULE_UNIT = "step"  # set the learning rate before each step, or once an epoch
_C.TRAIN.KILL_LOSS_EXPLOSION_FACTOR = 0.0  # stop above this multiple of the last 5 losses; 0 = off

# ---- validation ----
_C.VAL = CfgNode()
_C.VAL.PROTOCOL = "center"  # centre clip and crop; legacy = PySlowFast's random clip, crop, flip

# ---- test ----
_C.TEST = CfgNode()
_C.TEST.ENABLE = True  # run the multi-view test
_C.TEST.DATASET = "kinetics"  # registered data set
_C.TEST.BATCH_SIZE = 8  # clips (not videos) of a step on one machine
_C.TEST.CHECKPOINT_FILE_PATH = ""  # weights to test; empty = the newest of OUTPUT_DIR
_C.TEST.CHECKPOINT_TYPE = "pytorch"  # format of that file: pytorch = recognised from its keys
_C.TEST.NUM_ENSEMBLE_VIEWS = 10  # temporal clips of a video; -1 = test with 1, 3, 5, 7 and 10
_C.TEST.NUM_SPATIAL_CROPS = 3  # crops of a clip; 1 = centre
_C.TEST.NUM_TEMPORAL_CLIPS = []  # several numbers of clips, tested one after the other
_C.TEST.ENSEMBLE_SPACE = "prob"  # what is summed over views: prob, logit or feature
_C.TEST.CLIP_RATIO = 0.0  # weight of the original CLIP mixed into the tested weights (OST: 0.2)
_C.TEST.LOGIT_SCALE = 0.0  # factor of cosines in evaluation (Text4Vis: 100); 0 = as trained
_C.TEST.CROP_AXIS = "long"  # where several crops lie: along the long side, or the width (Text4Vis)
_C.TEST.HALF_CLASS_DRAWS = 0  # random halves of the classes to test as well (Text4Vis: 10)
_C.TEST.MAP = ""  # report mAP of one-label data from softmax; double_softmax = parity: Text4Vis
_C.TEST.SAVE_RESULTS_PATH = ""  # file under OUTPUT_DIR for the table of scores
_C.TEST.SAVE_PREDICTIONS = True  # write label, top classes and scores of each video
_C.TEST.PROTOCOL = ""  # name of the protocol in results.json
_C.TEST.SPLIT = ""  # name of the split in results.json
_C.TEST.ALLOW_RANDOM_WEIGHTS = False  # test untrained weights when there is no checkpoint
_C.TEST.ALLOW_MISSING_KEYS = False  # test weights that do not fill the model
_C.TEST.ALLOW_NAN_WEIGHTS = False  # test weights that hold NaN or infinities
_C.TEST.ALLOW_FAILED = False  # exit 0 although some videos could not be read

# ---- data ----
_C.DATA = CfgNode()
_C.DATA.PATH_TO_DATA_DIR = ""  # folder of the list files
_C.DATA.TRAIN_FILE = ""  # list of training videos, relative to it; empty = train.csv
_C.DATA.VAL_FILE = ""  # list of validation videos; empty = val.csv
_C.DATA.TEST_FILE = ""  # list of test videos; empty = test.csv
_C.DATA.LIST_FORMAT = "auto"  # form of the lists; auto = recognised from their lines
_C.DATA.PATH_LABEL_SEPARATOR = " "  # separator of the fields of a list
_C.DATA.PATH_PREFIX = ""  # folder in front of each listed path
_C.DATA.FRAME_TEMPLATE = "img_{:05d}.jpg"  # file name of a frame, for folders of frames
_C.DATA.FRAME_COUNT = "list"  # length of such a video: the list's, or folder = its images
_C.DATA.MIN_LISTED_FRAMES = 0  # leave out training and validation folders listed with fewer
_C.DATA.MAX_BROKEN = 0.1  # share of unreadable videos above which a run stops
_C.DATA.NUM_FRAMES = 8  # frames of a clip
_C.DATA.SAMPLING = "dense"  # dense (at SAMPLING_RATE), segment (one frame a part), or own
_C.DATA.SAMPLING_COMPAT = ""  # published frame rule to reproduce; empty = exact, even spacing
_C.DATA.SAMPLING_RATE = 8  # frames from one sampled frame to the next, at TARGET_FPS
_C.DATA.TARGET_FPS = 30  # frame rate in which SAMPLING_RATE counts
_C.DATA.TRAIN_JITTER_FPS = 0.0  # training adds up to this to TARGET_FPS
_C.DATA.USE_OFFSET_SAMPLING = False  # spread the test clips so that the last ends with the video
_C.DATA.TIMESTAMPS = "corrected"  # legacy = ignore start time and variable frame rate
_C.DATA.DECODING_BACKEND = "pyav"  # pyav or torchcodec (torchvision means pyav)
_C.DATA.TRANSFORMS = "slowfast"  # slowfast, clip (OST, ViFi-CLIP), text4vis, open_clip, or own
_C.DATA.RESIZE = "torch"  # who resizes (bilinear, no anti-aliasing): torch or opencv
_C.DATA.MEAN = [0.45, 0.45, 0.45]  # of R, G, B in 0..1
_C.DATA.STD = [0.225, 0.225, 0.225]  # of R, G, B in 0..1
_C.DATA.TRAIN_JITTER_SCALES = [256, 320]  # range of the short side; [0] in single-crop tests
_C.DATA.TRAIN_JITTER_SCALES_RELATIVE = []  # range of the area of a random resized crop
_C.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []  # range of its aspect ratio
_C.DATA.TRAIN_CROP_SIZE = 224  # side of a training crop
_C.DATA.TEST_CROP_SIZE = 256  # side of a test crop
_C.DATA.TEST_SHORT_SIZE = 0  # short side before the test crop; 0 = PySlowFast's rule
_C.DATA.RANDOM_FLIP = True  # mirror half of the training clips
_C.DATA.MULTI_LABEL = False  # several labels a video; the metric is mean average precision
_C.DATA.ENSEMBLE_METHOD = "sum"  # sum or max over views

_C.DATA_LOADER = CfgNode()
_C.DATA_LOADER.NUM_WORKERS = 8  # loading processes of each training process
_C.DATA_LOADER.PIN_MEMORY = True  # load into pinned memory
_C.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE = False  # let the decoder use threads
_C.DATA_LOADER.PREFETCH_FACTOR = 2  # batches that each loading process prepares ahead
_C.DATA_LOADER.PERSISTENT_WORKERS = True  # keep the loading processes between epochs

# ---- augmentation (training only) ----
_C.AUG = CfgNode()
_C.AUG.ENABLE = False  # RandAugment and random erasing
_C.AUG.NUM_SAMPLE = 1  # augmented copies of each clip in a batch
_C.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"  # RandAugment in words; empty = off
_C.AUG.AA_PER_FRAME = False  # draw its operations for each frame (Text4Vis's released weights)
_C.AUG.INTERPOLATION = "bicubic"  # of its geometric operations: bilinear, bicubic or random
_C.AUG.RE_PROB = 0.25  # chance of random erasing
_C.AUG.RE_MODE = "pixel"  # fill: pixel, const or rand
_C.AUG.RE_COUNT = 1  # most boxes
_C.AUG.CLIP_COLOR_JITTER = 0.0  # clip transforms: chance of colour jitter (OST: 0.8)
_C.AUG.CLIP_GRAY_SCALE = 0.0  # clip transforms: chance of grey scale (OST: 0.2)
_C.AUG.COLOR_JITTER_PER_FRAME = True  # parity: draw the jitter for each frame, as published

_C.MIXUP = CfgNode()
_C.MIXUP.ENABLE = False  # mix clips and labels of a batch
_C.MIXUP.ALPHA = 0.8  # beta parameter of mixup; 0 = no mixup
_C.MIXUP.CUTMIX_ALPHA = 1.0  # beta parameter of cutmix; 0 = no cutmix
_C.MIXUP.PROB = 1.0  # chance that a batch is mixed
_C.MIXUP.SWITCH_PROB = 0.5  # chance of cutmix when both are on
_C.MIXUP.LABEL_SMOOTH_VALUE = 0.1  # label smoothing of mixed batches

# ---- CLIP towers and texts ----
_C.CLIP = CfgNode()
_C.CLIP.ARCH = "ViT-B-16-quickgelu"  # open_clip model name, or a JSON model config
_C.CLIP.PRETRAINED = ""  # open_clip tag or weights file; empty = random
_C.CLIP.TRAINABLE = "both"  # towers that are trained: both, image, text or none
_C.CLIP.FREEZE = []  # patterns of parameter names that are not trained
_C.CLIP.CONTEXT_LENGTH = 77  # most tokens of a text

_C.TEXT = CfgNode()
_C.TEXT.CLASSES = ""  # file of the class names in label order
_C.TEXT.SUBSET = ""  # file of the names used of them (base, novel or zero-shot classes)
_C.TEXT.SPATIAL = ""  # file of the spatial descriptors
_C.TEXT.TEMPORAL = ""  # file of the temporal descriptors
_C.TEXT.TEMPLATES = ""  # named set of prompts; empty = the model's own
_C.TEXT.LONG_TEXT = "error"  # texts over CONTEXT_LENGTH tokens: error or truncate

# ---- models ----
_C.MODEL = CfgNode()
_C.MODEL.MODEL_NAME = "SlowFast"  # registered model; a system pairs an encoder with a head
_C.MODEL.ENCODER = ""  # registered video encoder; empty = the model's own
_C.MODEL.HEAD_NAME = ""  # registered text head; empty = the model's own
_C.MODEL.ARCH = ""  # one pathway, or two if MODEL.MULTI_PATHWAY_ARCH lists it
_C.MODEL.NUM_CLASSES = 0  # classes; 0 = as in TEXT.CLASSES, or 400 without it
_C.MODEL.LOSS_FUNC = "cross_entropy"  # registered loss
_C.MODEL.DROPOUT_RATE = 0.5  # before a classifier's last layer
_C.MODEL.FC_INIT_STD = 0.01  # spread of a fresh classifier's weights
_C.MODEL.HEAD_ACT = "softmax"  # a classifier's activation in evaluation: softmax, sigmoid or none
_C.MODEL.ACT_CHECKPOINT = False  # recompute activations in the backward pass

_C.OST = CfgNode()
_C.OST.N = 0  # descriptors of a class and kind; 0 = as many as the files hold
_C.OST.KINDS = ["spatial", "temporal"]  # kinds of descriptors in use
_C.OST.CONDITION = ["temporal"]  # kinds whose prompts name the class
_C.OST.MATCHING = "od_solver"  # od_solver, pooled (mean of descriptors) or category (name only)
_C.OST.EPSILON = 0.1  # entropic regularisation of the solver
_C.OST.MAX_ITER = 100  # most iterations of the solver
_C.OST.TOLERANCE = 0.01  # change of the scaling at which it stops
_C.OST.STOP_RULE = "pair"  # stop each problem by itself; batch = parity: all of a batch at once
_C.OST.FUSION_FACTOR = 0.5  # factor of the summed scores (the paper's average would be 0.25)
_C.OST.TARGET_TEMPERATURE = 10.0  # factor of the same-label matrix before its softmax
_C.OST.GATHER_GRADIENT = "sum"  # true gradient over processes; local = parity: 1/W of it
_C.OST.CLASS_CHUNK = 0  # classes solved at once, to bound memory; 0 = automatic

_C.TEXT4VIS = CfgNode()
_C.TEXT4VIS.HEAD = "transf"  # over frame features: transf (six-layer transformer) or none
_C.TEXT4VIS.TEMPORAL = "off"  # inside the image tower: off, tsm, tokenshift or tokent1d
_C.TEXT4VIS.JOINT = False  # one sequence of all frames' patches (joint space-time attention)
_C.TEXT4VIS.DROP_PATH = 0.0  # stochastic depth and attention dropout of the tower's last block
_C.TEXT4VIS.EMB_DROPOUT = 0.0  # dropout behind the tower's position embeddings

_C.CLASSIFIER = CfgNode()
_C.CLASSIFIER.KIND = "clip_text"  # frozen rows: clip_text, random, orthogonal or file
_C.CLASSIFIER.FILE = ""  # of ost classifier (LDA, another text encoder), for kind file
_C.CLASSIFIER.SEED = 1024  # of random and orthogonal rows

_C.TRUNK = CfgNode()
_C.TRUNK.ARCH = "x3d_s"  # pytorchvideo trunk: name of its hub, or a JSON file of builder arguments
_C.TRUNK.PRETRAINED = ""  # its weights file; empty = random

# ---- optimizer ----
_C.SOLVER = CfgNode()
_C.SOLVER.BASE_LR = 0.1  # peak learning rate
_C.SOLVER.LR_POLICY = "cosine"  # cosine, steps_with_relative_lrs, ost_cosine
_C.SOLVER.COSINE_END_LR = 0.0  # learning rate at the end of a cosine
_C.SOLVER.COSINE_AFTER_WARMUP = False  # start the cosine after the warm-up instead of at 0
_C.SOLVER.COSINE_RESTART_EPOCH = 0  # start the cosine anew every so many epochs; 0 = never
_C.SOLVER.MAX_EPOCH = 300  # epochs
_C.SOLVER.WARMUP_EPOCHS = 0.0  # epochs of linear warm-up
_C.SOLVER.WARMUP_START_LR = 0.01  # learning rate at its start
_C.SOLVER.OPTIMIZING_METHOD = "sgd"  # sgd, adam, adamw or mt_adamw (adamw with foreach)
_C.SOLVER.BETAS = (0.9, 0.999)  # adam
_C.SOLVER.EPSILON = 1e-8  # adam
_C.SOLVER.WEIGHT_DECAY = 1e-4  # weight decay
_C.SOLVER.ZERO_WD_1D_PARAM = False  # none for biases and other vectors
_C.SOLVER.LAYER_DECAY = 1.0  # factor of the learning rate from a layer to the one before
_C.SOLVER.BACKBONE_LR_RATIO = 1.0  # factor of the learning rate of CLIP's own parameters
_C.SOLVER.LR_UPDATE_PERIOD = 1  # steps between two settings of the learning rate (Text4Vis: 10)
_C.SOLVER.CLIP_GRAD_VAL = None  # clip gradients to this value; 0 or None = off
_C.SOLVER.CLIP_GRAD_L2NORM = None  # clip gradients to this norm; 0 or None = off


compat.add_upstream(_C)


def get_cfg() -> CfgNode:
    """Return a fresh tree of all options, with those of ``custom_config`` and of extensions."""
    cfg: CfgNode = _C.clone()
    custom_config.apply(cfg)
    return cfg


def assert_and_infer_cfg(cfg: CfgNode) -> CfgNode:
    """Derive and check ``cfg`` in place and return it; a second call changes nothing.

    PySlowFast's scripts call this by hand; ``load_cfg`` has done it already.

    Raises:
        UsageError: a value or a combination of values is impossible.
    """
    derive(cfg)
    validate(cfg)
    return cfg
