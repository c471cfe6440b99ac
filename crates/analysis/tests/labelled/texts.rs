//! Items and stock texts of the labelled set, written for it. Values that a template would change are in braces.

/// Short questions: question, right answer, wrong answers.
pub(crate) const SHORT_EN: &[&str] = &[
    "Which organ of a honeybee stores nectar?|the crop|the gizzard|the hindgut|the spiracle",
    "What metal lines the inside of a thermos flask?|silver|zinc|cobalt|tin",
    "Who repaired the lighthouse clock at Brennholm?|Odile Varga|Piet Janssen|Marta Lind|Hugo Sorel",
    "Why do wet roads look darker than dry ones?|less light is scattered back|water is black|the tar melts|dust rises",
    "Which gas makes bread dough rise overnight?|carbon dioxide|nitrogen|helium|argon",
    "Name the valley where the Tarnish railway ends.|Hollow Glen|Ferry Dale|Marl Bottom|Stone Reach",
    "How do barn owls locate mice in darkness?|by hearing alone|by smell|by heat|by touch",
    "What does a luthier build?|stringed instruments|barrels|saddles|clocks",
    "Which planet rotates on its side?|Uranus|Mars|Mercury|Saturn",
    "What is the hardest layer of a human tooth?|enamel|dentine|pulp|cement",
    "Which unit measures the loudness of sound?|decibel|lumen|pascal|tesla",
    "In which month do swifts leave northern Europe?|August|March|December|June",
    "What was the cargo of the barge Winnifred?|salted herring|slate|barley|candles",
    "Which acid gives vinegar its sour taste?|acetic acid|citric acid|lactic acid|formic acid",
    "How many strings does a standard mandolin have?|eight|six|five|twelve",
    "Who invented the folding ladder in Castermonde?|Ilse Brandt|Tom Okoro|Ravi Sen|Ana Prat",
    "What makes autumn leaves turn red?|anthocyanins|chlorophyll|keratin|melanin",
    "Which knot joins two ropes of different thickness?|sheet bend|bowline|clove hitch|reef knot",
    "What instrument records earthquakes?|seismograph|barometer|altimeter|sextant",
    "Which bird lays its eggs in other nests?|the cuckoo|the heron|the wren|the stork",
    "Where do eels of European rivers spawn?|the Sargasso Sea|the Baltic Sea|Lake Geneva|the Dead Sea",
    "What is the main ingredient of hummus?|chickpeas|lentils|walnuts|barley",
    "Which tool removes bark from felled timber?|a drawknife|a mallet|an awl|a plane",
    "What colour is the flame of burning copper?|green|violet|orange|white",
];

/// Longer questions with a worked solution: question|solution|answer.
pub(crate) const LONG_EN: &[&str] = &[
    "{Greta} bakes {14} trays of rolls before sunrise and each tray holds {9} rolls. A café takes half of everything she bakes, and the school kitchen collects {23} more. The rest is sold from the shop window for {2} coins apiece. How many coins does {Greta} earn at the window?|The trays hold 126 rolls. The café takes 63 and the school 23, so 40 are left, and 40 times 2 is 80 coins.|80",
    "A ferry crosses the strait {6} times a day and carries at most {48} cars on each crossing. On {Monday} the harbour master counted {250} cars that wanted to cross. How many cars had to wait until the next day, and how full was the last crossing if the first ones were full?|Six crossings carry 288 cars, more than 250, so no car waits. Five full crossings carry 240, and the last one has 10 cars.|no car waits; 10 cars",
    "{Idris} walks his neighbour's three dogs along the canal. The oldest dog needs {20} minutes, the spaniel needs twice as long as the oldest, and the puppy needs a quarter of the spaniel's time. He walks them one after another on {5} days of the week. For how many minutes does {Idris} walk dogs in a week?|The spaniel needs 40 minutes, the puppy 10, together 70 with the oldest. Five days make 350 minutes.|350",
    "The library of {Ashgrove} lends out novels, atlases and records. In {March} it lent {312} novels, a third as many atlases as novels, and {18} fewer records than atlases. The head librarian wants to know how many things were lent altogether that month. What does she write in her report?|A third of 312 is 104 atlases, and 86 records. Altogether 312 + 104 + 86 is 502.|502",
    "A water tank with a leak loses {3} litres every hour, while a pump adds {11} litres in the same time. At noon the tank holds {60} litres and its brim is reached at {220} litres. When is the tank full, if nobody opens the tap?|It gains 8 litres an hour and needs 160 more, so 20 hours after noon, at eight in the morning.|at eight in the morning",
    "{Mirela} threads beads for a market stall. A necklace takes {32} beads and a bracelet takes {12}. She has a jar with {500} beads, and three customers have already ordered a necklace each together with two bracelets each. After these orders are done, how many more bracelets can {Mirela} make?|The orders take 96 and 72 beads, so 332 are left. That is enough for 27 bracelets.|27",
    "Write a function that receives a list of daily temperatures and returns the length of the longest stretch of days on which each day was warmer than the day before. An empty list has a stretch of {0} days, and a list with a single reading has a stretch of {1}.|Keep the length of the present stretch and the greatest so far; reset the first to one whenever a reading does not rise above the previous reading.|longest_rise",
    "An orchard keeper plants pear trees in rows. Each row is {84} metres long and neighbouring trees stand {6} metres apart, with a tree at both ends of the row. Frost kills {7} trees in each of the {4} rows. How many pear trees of the orchard survive the winter?|A row has 15 trees, of which 8 live, so four rows keep 32.|32",
    "Two cyclists set out from towns that are {90} kilometres apart and ride towards each other. {Lotte} rides {18} kilometres in an hour, and {Bram} rides {12}. A swallow flies to and fro between them at {40} kilometres an hour until they meet. What distance has the swallow covered by then?|They approach at 30 kilometres an hour and meet after three hours, in which the swallow flies 120 kilometres.|120",
    "Implement a class for a parking meter which accepts coins of {5}, {10} and {20} cents, prints a ticket for {6} minutes per coin of five cents, and refuses every further coin once the ticket would last longer than {2} hours. The method that inserts a coin shall say whether it was accepted.|Hold the sum in cents; the limit is 100 cents; a coin is refused if it would lift the sum above that limit.|ParkingMeter",
    "In a survey of {640} commuters, {35} percent said that they cycle, and of those who do not cycle a quarter take the tram. Nobody named more than one means of transport. Everyone else drives. How many of the commuters in the survey drive to work?|The survey has 224 cyclists and 416 others, of whom 104 take the tram, so 312 drive.|312",
    "A choir of {56} voices is divided so that there are three sopranos for every two altos, and as many tenors as basses. The lower voices together are {16} singers. After the summer {4} sopranos leave for university. How many sopranos does the choir have left?|The upper voices are 40 singers: 24 sopranos and 16 altos. After four left, 20 sopranos remain.|20",
];

/// Reading: passage|question|right answer|wrong answers.
pub(crate) const READING_EN: &[&str] = &[
    "The glassworks at Perrin Ford began as a shed in which two brothers melted down broken bottles. When the canal reached the village, sand from the coast became cheap, and within ten years the works had four furnaces and its own school. Fires destroyed the sheds twice, and each time the owners rebuilt them with wider aisles. The last furnace went out in the winter after the canal froze, and the buildings now house a museum of lamps.|Why did the owners make the aisles wider when they rebuilt?|because of the fires|to let barges in|to hold a school|to show lamps",
    "Lichens are partnerships between a fungus and an alga. The fungus offers shelter and holds water, and the alga makes sugar from sunlight. Because they take up what the air carries, many lichens die where smoke is thick, and foresters use them as a measure of clean air. On bare rock they are often the first settlers, and the acids they give off slowly turn stone to soil in which mosses can follow.|For what purpose do foresters look at lichens?|to judge how clean the air is|to find water|to make sugar|to break stone",
    "Before maps showed heights, surveyors of the Salt Mountains carried a kettle. Water boils at a lower temperature the higher one climbs, so a good thermometer and a pot of snow gave the height of a pass within thirty metres. The method was slow and it cost much fuel, but a kettle never broke, which could not be said of the glass barometers that filled the mules' baskets at the start of each journey.|What advantage did a kettle have over a barometer for the surveyors?|it did not break|it was faster|it saved fuel|it weighed less",
    "The puppet theatre of Old Sarn never had a stage. Its players walked from inn to inn with a trunk, and they hung a blanket between two chairs. Audiences paid in bread or lamp oil, seldom in coin. Since every innkeeper feared the tax inspectors, the puppets mocked nobody above the rank of sergeant, and the scripts that survive are full of blank lines where the names of real people were once spoken aloud.|What do the blank lines in the surviving scripts stand for?|names of real people|missing pages|prices of bread|lost songs",
    "Deep wells in the chalk of the eastern downs do not run dry in the same summer in which the rain fails. The water that fills a bucket today fell as drizzle some thirty years ago and has sunk by less than a metre each year. Farmers who remember a dry spring therefore look worried long after their children have forgotten it, and the parish keeps a table of rainfall going back four generations.|How long does rain take to reach the wells?|about thirty years|one summer|a metre each year|four generations",
];

pub(crate) const SHORT_ZH: &[&str] = &[
    "哪种昆虫靠翅膀摩擦发声？|蟋蟀|蝴蝶|蚂蚁|瓢虫",
    "酿造米醋主要依靠哪类微生物？|醋酸菌|乳酸菌|酵母菌|青霉菌",
    "青石镇的老钟楼由谁修复？|沈砚秋|陆长庚|顾明远|谭若愚",
    "为什么海水不容易结冰？|含有盐分|温度太高|流动太快|颜色太深",
    "制作宣纸的主要原料是什么树皮？|青檀|桑树|松树|竹子",
    "候鸟迁徙时怎样辨别方向？|利用地球磁场|依靠气味|随机飞行|听人声",
    "地震波在哪种介质里传播最快？|固体|液体|气体|真空",
    "古琴一共有几根弦？|七根|五根|六根|十根",
    "雨后彩虹最外层是什么颜色？|红色|紫色|绿色|蓝色",
    "哪条河流经过云栖谷口？|白练溪|黑水河|金沙渠|石门江",
    "测量大气压强使用什么仪器？|气压计|湿度计|风速仪|量筒",
    "蚕吐丝结茧之后变成什么？|蛹|卵|幼虫|成蛾",
    "铜器表面的绿锈是什么物质？|碱式碳酸铜|氧化铁|硫化银|氯化钠",
    "骆驼的驼峰储存的是什么？|脂肪|水分|肌肉|盐",
    "下弦月通常在什么时候升起？|半夜|中午|傍晚|清晨",
    "哪个节气之后白昼开始变短？|夏至|冬至|春分|秋分",
    "船闸的作用是克服什么障碍？|水位落差|水流方向|河道弯曲|泥沙淤积",
    "谁主持编写了《浮溪县志》？|卢怀谨|贺知微|崔文度|孟广年",
    "向日葵的花盘朝着什么转动？|太阳|月亮|水源|风向",
    "珊瑚礁由哪种动物的骨骼堆成？|珊瑚虫|海绵|海星|贝类",
    "茶叶发酵程度最高的是哪一类？|红茶|绿茶|白茶|黄茶",
    "钢笔的墨水为什么能流出来？|毛细现象|磁力|摩擦力|浮力",
    "修理木桶的工匠叫什么？|箍桶匠|铁匠|皮匠|石匠",
    "蝙蝠在黑暗里怎么捕食？|回声定位|嗅觉|视觉|触觉",
];

pub(crate) const LONG_ZH: &[&str] = &[
    "{小明}家的果园里种了{12}行梨树，每行{15}棵。去年冬天的霜冻冻死了其中的六分之一，今年春天又补种了{20}棵。到了秋天，平均每棵梨树收{30}千克梨，这个果园一共可以收多少千克梨？|原有一百八十棵，冻死三十棵，剩一百五十棵，补种后一百七十棵，共收五千一百千克。|5100千克",
    "一艘货轮从{青岛}开往{大连}，逆水航行每小时走{24}千米，顺水返回时每小时走{36}千米，往返一共用了{10}小时。码头的调度员想知道两个港口之间的航线有多长，请你帮他算一算。|设航线长为s，s除以24加s除以36等于10，解得s等于144千米。|144千米",
    "图书馆新买了一批书，其中故事书占五分之二，科普书比故事书少{60}本，剩下的{180}本是字典。管理员要给每本书贴上标签，每张标签纸可以剪成{8}个标签，至少要准备多少张标签纸？|设总数为x，列方程可得x等于六百，六百除以八等于七十五张。|75张",
    "{小红}和{小刚}沿着环形跑道练习长跑，跑道一圈长{400}米。{小红}每分钟跑{250}米，{小刚}每分钟跑{210}米，两个人从同一地点同时同向出发，经过多少分钟{小红}第一次追上{小刚}？|速度差为每分钟四十米，追上一圈需要十分钟。|10分钟",
    "食堂运来{5}袋大米和{8}袋面粉，每袋大米重{25}千克，每袋面粉重{20}千克。前三天每天吃掉{45}千克粮食，后来来了客人，每天要多吃{10}千克。剩下的粮食还能再吃几天？|粮食共二百八十五千克，前三天吃一百三十五千克，剩一百五十千克，每天五十五千克，还能吃两天多。|2天",
    "请编写一个函数，输入是一串用逗号分开的气温读数，输出是连续上升的最长天数。如果输入为空就返回{0}，如果只有一个读数就返回{1}，遇到无法识别的读数时要跳过它并且重新开始计数。|维护当前连续上升的长度和最大长度，读数不升时把当前长度重置为一。|longest",
    "某工厂原计划{30}天生产{1200}台水泵，实际每天比原计划多生产{8}台。生产到一半时停电{2}天，恢复供电以后仍按加快后的速度生产，实际比原计划提前几天完成任务？|原计划每天四十台，实际每天四十八台，需要二十五天，加停电两天共二十七天，提前三天。|3天",
    "把一根长{96}厘米的铁丝剪成两段，分别围成一个正方形和一个长是宽两倍的长方形。如果两个图形的面积之和最小，那么围成正方形的那一段铁丝应该长多少厘米？请写出完整的推理过程。|设正方形边长为a，长方形宽为b，由周长条件列出二次函数求最小值。|约45.2厘米",
    "{小芳}用压岁钱买了一套{68}元的画笔和{3}本同样的素描本，付给售货员{100}元，找回{5}元。回家的路上她又把其中一本素描本按原价让给了同学，那么同学应当给{小芳}多少元？|三本素描本共二十七元，每本九元。|9元",
    "水库大坝上有甲乙两个泄洪闸，单独打开甲闸{12}小时可以放完超出警戒线的水，单独打开乙闸需要{18}小时。上游每小时流入的水量正好等于甲闸一半的流量，两闸同时打开几小时后水位回到警戒线？|净流量为十二分之一加十八分之一减二十四分之一，等于七十二分之七，需要约十点三小时。|约10.3小时",
];

pub(crate) const READING_ZH: &[&str] = &[
    "石桥村的豆腐坊只在冬天开门。山上的泉水入冬以后变得又清又硬，点出来的豆腐不容易散，可以用草绳提着走十里山路。到了春天，雪水流进泉眼，豆腐就软得像水一样，坊主只好关门去种茶。村里的老人说，从豆腐的软硬就能知道山那边下了多少雪，这话传到县里，竟被写进了气象站的笔记。|豆腐坊为什么在春天关门？|雪水使豆腐变软|坊主要收账|没有草绳|山路不通",
    "古代的更夫并不只是报时。他们手里的灯笼用不同颜色的纸糊成，红色表示城门已经关闭，白色表示河水上涨，没有灯光就说明更夫自己遇到了麻烦，邻近的人家必须出门查看。后来街上装了路灯，更夫的工钱由灯油铺来付，打更的声音也就越来越少了，只有腊月里还能听到几声。|白色的灯笼表示什么意思？|河水上涨|城门关闭|更夫生病|腊月来临",
    "海边的人把退潮以后留在岩石缝里的小水洼叫作镜子。镜子里的小虾和海葵每天要经历两次干旱、两次暴晒，还要防备来喝水的乌鸦。研究人员发现，同一种海葵如果生在深水里，颜色几乎是透明的，而生在镜子里的却带着深绿色的斑点，斑点里住着能制造养分的藻类，这样一来它们就不怕挨饿了。|镜子里的海葵为什么不怕挨饿？|体内的藻类制造养分|虾会来喂它|乌鸦带来食物|深水更暖",
    "驿站的马换得很勤，信使却常常一个人跑完全程。为了不在马背上睡着，他们把路上看到的东西编成歌，歌词里藏着哪座桥坏了、哪口井干了。后来的信使只要学会这些歌，就等于有了一张会更新的地图。邮路废弃以后，这些歌变成了孩子跳绳时唱的童谣，谁也不记得里面的桥和井在什么地方。|信使为什么把见闻编成歌？|为了不睡着|为了给孩子唱|为了卖钱|为了训练马",
];

/// Texts that many books and sites have: what they are, the text, and a question that quotes them.
pub(crate) const STOCK: &[(&str, &str, &str)] = &[
    (
        "enacting clause",
        "Be it enacted by the Senate and House of Representatives of the United States of America in Congress assembled",
        "Which branch of government adopts a text that starts as follows: \"{}\"?",
    ),
    (
        "enacting clause",
        "Be it enacted by the King's most Excellent Majesty, by and with the advice and consent of the Lords Spiritual and Temporal, and Commons, in this present Parliament assembled, and by the authority of the same",
        "{}. In which country do statutes begin with these words?",
    ),
    (
        "licence",
        "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files, to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and to permit persons to whom the Software is furnished to do so",
        "Consider this clause: {}. Which software licence is it taken from?",
    ),
    (
        "speech",
        "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition that all men are created equal",
        "Who gave the speech that starts: \"{}\"?",
    ),
    (
        "poem",
        "Shall I compare thee to a summer's day? Thou art more lovely and more temperate: Rough winds do shake the darling buds of May, And summer's lease hath all too short a date",
        "Read the lines below. {}. What figure of speech opens the poem?",
    ),
    ("poem", "床前明月光，疑是地上霜。举头望明月，低头思故乡。", "“{}”这首诗的作者是谁？"),
    ("poem", "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。", "下面这首诗写于哪个朝代：{}"),
    (
        "licence",
        "本软件按原样提供，不附带任何明示或者默示的担保，包括但不限于对适销性、特定用途适用性以及不侵权的担保，在任何情况下作者均不对任何索赔、损害或者其他责任负责",
        "以下条款常见于哪一类许可证？{}",
    ),
    (
        "enacting clause",
        "为了保护公民、法人和其他组织的合法权益，维护社会秩序和经济秩序，促进社会主义现代化建设，根据宪法，制定本法",
        "下列法律条文的第一条以什么开头？“{}”属于立法目的还是适用范围？",
    ),
];

/// Lines of instructions, and questions under them.
pub(crate) const INSTRUCTIONS: &[(&str, &str)] = &[
    (
        "Read the passage below and answer the questions that follow. Choose the best answer for each question and mark it on your answer sheet.",
        "What did the miller find under the third step?",
    ),
    (
        "Directions: For each of the following questions, select the one option that best completes the sentence.",
        "The kiln cooled so slowly that the glaze",
    ),
    (
        "Answer the following question by reasoning step by step, and write the final answer after the word Answer.",
        "How many gates does the walled garden at Perlow have?",
    ),
    (
        "阅读下面的文字，完成下列各题。每小题只有一个选项符合题意，请把答案填写在答题卡上。",
        "磨坊的第三级台阶下面藏着什么？",
    ),
    ("请认真阅读题目，从下面四个选项当中选出最恰当的一项，并说明理由。", "窑里的温度降得越慢釉面越怎么样？"),
];

/// Texts that are the same in everything but what they are about.
pub(crate) const SCAFFOLDS: &[&str] = &[
    "Which of the following statements is true? A. true B. false C. all of the above D. none of the above",
    "(A) Both statements are correct (B) Only the first statement is correct (C) Only the second statement is correct (D) Neither statement is correct",
    "Is the following sentence correct? Options: - yes - no",
    "下列说法正确的是（ ） A. 以上都对 B. 以上都不对 C. 只有①正确 D. 只有②正确",
    "判断正误：A. 正确 B. 错误",
];

pub(crate) const BOILERPLATE: &[&str] = &[
    "from typing import List\n\n\ndef solution(numbers: List[int]) -> int:\n    \"\"\"Return the answer.\"\"\"\n    result = 0\n    for i in range(len(numbers)):\n        result += numbers[i]\n    return result\n",
    "#include <stdio.h>\n#include <stdlib.h>\n\nint main(int argc, char **argv) {\n    printf(\"Hello, world!\\n\");\n    return 0;\n}\n",
    "if __name__ == \"__main__\":\n    import sys\n    main(sys.argv[1:])\n",
    "public static void main(String[] args) {\n    System.out.println(\"Hello\");\n}\n",
];

pub(crate) const TRUTH_TABLE: &str =
    "P | Q | P and Q | P or Q\nT | T | T | T\nT | F | F | T\nF | T | F | T\nF | F | F | F";
