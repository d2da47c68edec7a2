"""Which question and which answer belong to each stage."""

from __future__ import annotations

from common.messages import (
    CalibrateAnswer,
    CalibrateQuestion,
    CardAnswer,
    CardQuestion,
    CompareAnswer,
    CompareQuestion,
    DescribeAnswer,
    DescribeQuestion,
    EnrolAnswer,
    EnrolQuestion,
    FuseAnswer,
    FuseQuestion,
    HarmonizeAnswer,
    HarmonizeQuestion,
    Question,
    SearchQuestion,
    TrainAnswer,
    TrainQuestion,
    ValidateAnswer,
    ValidateQuestion,
)

Answer = (
    EnrolAnswer
    | DescribeAnswer
    | HarmonizeAnswer
    | TrainAnswer
    | FuseAnswer
    | CalibrateAnswer
    | CompareAnswer
    | CardAnswer
    | ValidateAnswer
)

QUESTIONS: dict[str, type[Question]] = {
    question.stage: question
    for question in (
        EnrolQuestion,
        DescribeQuestion,
        HarmonizeQuestion,
        SearchQuestion,
        TrainQuestion,
        FuseQuestion,
        CalibrateQuestion,
        CompareQuestion,
        CardQuestion,
        ValidateQuestion,
    )
}
ANSWERS: dict[str, type[Answer]] = {
    "enrol": EnrolAnswer,
    "describe": DescribeAnswer,
    "harmonize": HarmonizeAnswer,
    "search": TrainAnswer,
    "train": TrainAnswer,
    "fuse": FuseAnswer,
    "calibrate": CalibrateAnswer,
    "compare": CompareAnswer,
    "card": CardAnswer,
    "validate": ValidateAnswer,
}
