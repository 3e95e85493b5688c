// TON networks in one process, for tests: the real C++ transaction executor and virtual machine (@ton/sandbox, built by
// TON's own developers from the node's source), behind the HTTP API of an indexer (toncenter v3) on loopback.
//
//   node ton.js            for each byte on stdin starts one more and prints "Listening on 127.0.0.1:<port>"
//   /api/v3/…              what the indexer serves; /api/v2/getMasterchainInfo for the zero state
//   /lag/<n>/api/v3/…      the same, <n> masterchain blocks behind
//   /api/emulate/v1/…      what would follow from a wallet's request (ton_emulation.js)
//   POST /control          {"method": …, "params": …}: what only a test may do
//
// What it is not: there are no validators, no shards and no network. Blocks are ours: `mine` runs what is queued and
// numbers it; hashes of blocks are made up; nothing is proven. Fees, gas, storage, bounces and every byte of a
// transaction are the executor's own, with the mainnet configuration that the package ships ("slim": fees as they were
// before their cut of 2026). An internal message that a test injects has no transaction that sent it.
'use strict';
const http = require('node:http');
const { createHash } = require('node:crypto');
const { Executor } = require('@ton/sandbox');
const { slimConfig } = require('@ton/sandbox/dist/config/slimConfig');
const core = require('@ton/core');
const { emulateTonConnect } = require('./ton_emulation.js');
const { Address, Cell, beginCell } = core;

const ZERO_STATE = sha256('zero state of a test network');
const ZERO_HASH = Buffer.alloc(32).toString('base64');
const FIRST_SEQNO = 1000;
const LT_STEP = 1000000n;
const SHARD = '8000000000000000';

function sha256(text) {
  return createHash('sha256').update(text).digest('base64');
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

class Network {
  constructor(executor) {
    this.executor = executor;
    this.accounts = new Map(); // raw address -> shard account, Base64
    this.history = new Map(); // raw address -> transactions, ascending
    this.byHash = new Map(); // transaction hash -> transaction
    this.byMessage = new Map(); // hash of the message taken (also normalised) -> transaction
    this.blocks = [];
    this.mempool = []; // external messages
    this.queue = []; // internal messages on their way
    this.contents = new Map(); // jetton master -> what an indexer reads out of its metadata
    this.lt = 1000000000n;
    this.skew = 0;
    this.salt = '';
    this.globalId = -239;
    this.ignoresSignatures = false;
    this.emulates = true;
    this.close();
  }

  get seqno() {
    return this.blocks.length ? this.blocks[this.blocks.length - 1].seqno : FIRST_SEQNO - 1;
  }

  now() {
    return Math.floor(Date.now() / 1000) + this.skew;
  }

  // Ends a masterchain block: everything before it has a smaller logical time.
  close() {
    const seqno = this.seqno + 1;
    this.lt = (this.lt / LT_STEP + 1n) * LT_STEP;
    this.blocks.push({
      workchain: -1, shard: SHARD, seqno, root_hash: sha256(`root ${seqno} ${this.salt}`), file_hash: sha256(`file ${seqno} ${this.salt}`),
      global_id: this.globalId, version: 0, after_merge: false, before_split: false, after_split: false, want_merge: true,
      want_split: false, key_block: false, vert_seqno_incr: false, flags: 1, gen_utime: String(this.now()),
      start_lt: String(this.lt), end_lt: String(this.lt + 4n), validator_list_hash_short: 0, gen_catchain_seqno: 0,
      min_ref_mc_seqno: seqno - 1, prev_key_block_seqno: 0, vert_seqno: 1, master_ref_seqno: 0, rand_seed: ZERO_HASH,
      created_by: ZERO_HASH, tx_count: 0, masterchain_block_ref: { workchain: -1, shard: SHARD, seqno },
      prev_blocks: [{ workchain: -1, shard: SHARD, seqno: seqno - 1 }],
    });
    this.lt += LT_STEP;
  }

  // Runs what is queued, `hops` generations of messages, into one block; what is left goes on in the next one.
  async mine(hops) {
    let wave = this.mempool.splice(0).concat(this.queue.splice(0));
    for (let hop = 0; wave.length && hop < hops; hop++) {
      const next = [];
      for (const item of wave) next.push(...(await this.run(item)));
      wave = next;
    }
    this.queue = wave;
    this.close();
  }

  shardAccount(raw) {
    const known = this.accounts.get(raw);
    if (known !== undefined) return known;
    const empty = {
      account: {
        addr: Address.parse(raw),
        storage: { lastTransLt: 0n, balance: { coins: 0n }, state: { type: 'uninit' } },
        storageStats: { used: { cells: 0n, bits: 0n }, lastPaid: 0, storageExtra: null },
      },
      lastTransactionLt: 0n, lastTransactionHash: 0n,
    };
    return beginCell().store(core.storeShardAccount(empty)).endCell().toBoc().toString('base64');
  }

  async emulate(cell, now) {
    const message = core.loadMessage(cell.beginParse());
    const target = message.info.dest.toRawString();
    const { result } = await this.executor.runTransaction({
      config: slimConfig, libs: null, verbosity: 'short', shardAccount: this.shardAccount(target), message: cell,
      now, lt: this.lt, randomSeed: Buffer.alloc(32), ignoreChksig: this.ignoresSignatures, debugEnabled: false,
    });
    return { target, result };
  }

  async run({ cell, trace }) {
    const { target, result } = await this.emulate(cell, this.now());
    if (!result.success) return []; // an external message that the contract did not take leaves no trace
    const before = this.shardAccount(target);
    const txCell = Cell.fromBase64(result.transaction);
    const tx = core.loadTransaction(txCell.beginParse());
    this.accounts.set(target, result.shardAccount);
    const told = tell(tx, txCell, target, before, result.shardAccount, this.seqno + 1, trace);
    if (!this.history.has(target)) this.history.set(target, []);
    this.history.get(target).push(told);
    this.byHash.set(told.hash, told);
    this.byMessage.set(told.in_msg.hash, told);
    if (told.in_msg.hash_norm) this.byMessage.set(told.in_msg.hash_norm, told);
    const out = tx.outMessages.values();
    this.lt += BigInt(out.length) + 1n;
    return out
      .filter((message) => message.info.type === 'internal')
      .map((message) => ({ cell: cellOf(message), trace: trace ?? told.hash }));
  }

  get(raw) {
    const shard = core.loadShardAccount(Cell.fromBase64(this.shardAccount(raw)).beginParse());
    return shard.account;
  }

  async getMethod(raw, method, stack) {
    const account = this.get(raw);
    const state = account?.storage.state;
    if (state?.type !== 'active') return { exit: -13, stack: [] };
    const { output } = await this.executor.runGetMethod({
      code: state.state.code, data: state.state.data, methodId: core.getMethodId ? core.getMethodId(method) : methodId(method),
      stack, config: slimConfig, verbosity: 'short', address: Address.parse(raw), unixTime: this.now(),
      balance: account.storage.balance.coins, randomSeed: Buffer.alloc(32), gasLimit: 1000000n, debugEnabled: false,
    });
    if (!output.success) throw new Refused(500, output.error);
    return { exit: output.vm_exit_code, stack: core.parseTuple(Cell.fromBase64(output.stack)) };
  }
}

function methodId(name) {
  let crc = 0;
  for (const byte of Buffer.from(name)) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc | 0x10000;
}

function cellOf(message) {
  return beginCell().store(core.storeMessage(message, { forceRef: true })).endCell();
}

// Tells a transaction as the indexer does.
function tell(tx, cell, target, before, after, seqno, trace) {
  const hash = cell.hash().toString('base64');
  return {
    account: target.toUpperCase(), hash, lt: String(tx.lt), now: tx.now, mc_block_seqno: seqno, trace_id: trace ?? hash,
    prev_trans_hash: bigHash(tx.prevTransactionHash), prev_trans_lt: String(tx.prevTransactionLt),
    orig_status: statusName(tx.oldStatus), end_status: statusName(tx.endStatus),
    total_fees: String(tx.totalFees.coins), total_fees_extra_currencies: {},
    description: tellDescription(tx.description), block_ref: { workchain: 0, shard: SHARD, seqno },
    in_msg: tx.inMessage ? tellMessage(tx.inMessage) : null, out_msgs: tx.outMessages.values().map(tellMessage),
    account_state_before: tellBalance(before), account_state_after: tellBalance(after), emulated: false,
  };
}

function bigHash(value) {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toString('base64');
}

function statusName(status) {
  return status === 'uninitialized' ? 'uninit' : status === 'non-existing' ? 'nonexist' : status;
}

function tellDescription(d) {
  const compute = d.computePhase;
  return {
    type: 'ord', aborted: d.aborted, destroyed: d.destroyed, credit_first: d.creditFirst,
    ...(d.storagePhase && { storage_ph: { storage_fees_collected: String(d.storagePhase.storageFeesCollected), status_change: 'unchanged' } }),
    ...(d.creditPhase && { credit_ph: { credit: String(d.creditPhase.credit.coins) } }),
    compute_ph:
      compute.type === 'skipped'
        ? { skipped: true, reason: compute.reason.replace('-', '_') }
        : {
            skipped: false, success: compute.success, msg_state_used: compute.messageStateUsed, account_activated: compute.accountActivated,
            gas_fees: String(compute.gasFees), gas_used: String(compute.gasUsed), gas_limit: String(compute.gasLimit), mode: compute.mode,
            exit_code: compute.exitCode, vm_steps: compute.vmSteps, vm_init_state_hash: ZERO_HASH, vm_final_state_hash: ZERO_HASH,
          },
    ...(d.actionPhase && {
      action: {
        success: d.actionPhase.success, valid: d.actionPhase.valid, no_funds: d.actionPhase.noFunds, status_change: 'unchanged',
        total_fwd_fees: String(d.actionPhase.totalFwdFees ?? 0n), total_action_fees: String(d.actionPhase.totalActionFees ?? 0n),
        result_code: d.actionPhase.resultCode, tot_actions: d.actionPhase.totalActions, spec_actions: d.actionPhase.specActions,
        skipped_actions: d.actionPhase.skippedActions, msgs_created: d.actionPhase.messagesCreated,
      },
    }),
    ...(d.bouncePhase && { bounce: { type: d.bouncePhase.type === 'ok' ? 'ok' : d.bouncePhase.type === 'no-funds' ? 'nofunds' : 'negfunds' } }),
  };
}

function tellMessage(message) {
  const { info } = message;
  const internal = info.type === 'internal';
  const head = message.body.bits.length >= 32 ? message.body.beginParse().loadUint(32) : null;
  return {
    hash: cellOf(message).hash().toString('base64'),
    ...(info.type === 'external-in' && { hash_norm: normalised(message) }),
    source: info.type === 'external-in' ? null : info.src.toRawString().toUpperCase(),
    destination: info.type === 'external-out' ? null : info.dest.toRawString().toUpperCase(),
    value: internal ? String(info.value.coins) : null, value_extra_currencies: internal ? {} : null,
    fwd_fee: internal ? String(info.forwardFee) : null, ihr_fee: internal ? String(info.ihrFee) : null,
    created_lt: info.type === 'external-in' ? null : String(info.createdLt), created_at: info.type === 'external-in' ? null : String(info.createdAt),
    opcode: head === null ? null : `0x${head.toString(16).padStart(8, '0')}`, ihr_disabled: internal ? info.ihrDisabled : null,
    bounce: internal ? info.bounce : null, bounced: internal ? info.bounced : null,
    import_fee: info.type === 'external-in' ? String(info.importFee) : null,
    message_content: { hash: message.body.hash().toString('base64'), body: message.body.toBoc().toString('base64'), decoded: null },
    init_state: message.init ? { hash: beginCell().store(core.storeStateInit(message.init)).endCell().hash().toString('base64'), body: null } : null,
  };
}

// TEP-467: an external message without source, fee and state init, its body in a reference.
function normalised(message) {
  const cell = beginCell().storeUint(0b10, 2).storeUint(0, 2).storeAddress(message.info.dest).storeCoins(0).storeBit(0).storeBit(1).storeRef(message.body);
  return cell.endCell().hash().toString('base64');
}

function tellBalance(shardAccount) {
  const { account } = core.loadShardAccount(Cell.fromBase64(shardAccount).beginParse());
  const status = account ? account.storage.state.type : 'nonexist';
  const held = account?.storage.state.type === 'active' ? account.storage.state.state : null;
  return {
    hash: ZERO_HASH, balance: String(account ? account.storage.balance.coins : 0n), account_status: status, extra_currencies: {}, frozen_hash: null,
    data_hash: held?.data.hash().toString('base64') ?? null, code_hash: held?.code.hash().toString('base64') ?? null,
  };
}

// ---- the indexer

const rawOf = (text) => {
  try {
    return Address.parse(text).toRawString();
  } catch {
    throw new Refused(422, `wrong address: ${text}`);
  }
};
const hashOf = (text) => Buffer.from(text.replaceAll('-', '+').replaceAll('_', '/').replaceAll(' ', '+'), 'base64').toString('base64');

class Indexer {
  constructor(network, lag) {
    this.network = network;
    this.top = network.seqno - lag;
  }

  seen(transactions) {
    return transactions.filter((tx) => tx.mc_block_seqno <= this.top);
  }

  masterchainInfo() {
    const blocks = this.network.blocks.filter((block) => block.seqno <= this.top);
    return { last: blocks[blocks.length - 1], first: blocks[0] };
  }

  blocks(query) {
    let found = this.network.blocks.filter((block) => block.seqno <= this.top && query.get('workchain') !== '0');
    if (query.has('seqno')) found = found.filter((block) => String(block.seqno) === query.get('seqno'));
    if (query.has('start_utime')) found = found.filter((block) => Number(block.gen_utime) >= Number(query.get('start_utime')));
    return { blocks: page(found, query, (block) => BigInt(block.start_lt)) };
  }

  transactions(query) {
    let found = query.has('hash') ? [this.network.byHash.get(hashOf(query.get('hash')))].filter(Boolean) : [];
    if (query.has('account')) found = this.network.history.get(rawOf(query.get('account'))) ?? [];
    return { transactions: page(this.seen(found), query, (tx) => BigInt(tx.lt)), address_book: {} };
  }

  transactionsByMessage(query) {
    const found = this.network.byMessage.get(hashOf(query.get('msg_hash') ?? ''));
    return { transactions: found ? this.seen([found]) : [], address_book: {} };
  }

  accountStates(query) {
    const accounts = query.getAll('address').map(rawOf).flatMap((raw) => {
      const history = this.seen(this.network.history.get(raw) ?? []);
      if (!history.length) return [];
      const last = history[history.length - 1];
      const state = this.network.get(raw)?.storage.state;
      return {
        address: raw.toUpperCase(), account_state_hash: ZERO_HASH, balance: last.account_state_after.balance, status: last.end_status,
        last_transaction_hash: last.hash, last_transaction_lt: last.lt, code_hash: state?.type === 'active' ? state.state.code.hash().toString('base64') : null,
      };
    });
    return { accounts, address_book: {}, metadata: {} };
  }

  async jettonWallets(query) {
    const master = rawOf(query.get('jetton_address'));
    const owner = rawOf(query.get('owner_address'));
    const slice = beginCell().storeAddress(Address.parse(owner)).endCell();
    const named = await this.network.getMethod(master, 'get_wallet_address', [{ type: 'slice', cell: slice }]);
    if (named.exit !== 0) return { jetton_wallets: [] };
    const wallet = named.stack[0].cell.beginParse().loadAddress().toRawString();
    const history = this.seen(this.network.history.get(wallet) ?? []);
    const data = await this.network.getMethod(wallet, 'get_wallet_data', []);
    if (data.exit !== 0 || !history.length) return { jetton_wallets: [] };
    return {
      jetton_wallets: [{
        address: wallet.toUpperCase(), balance: String(data.stack[0].value), owner: owner.toUpperCase(), jetton: master.toUpperCase(),
        last_transaction_lt: (this.network.history.get(wallet)).at(-1).lt, code_hash: ZERO_HASH, data_hash: ZERO_HASH,
      }],
      address_book: {}, metadata: {},
    };
  }

  // Orders to jetton wallets (op `transfer`), whether or not their code took them.
  async jettonTransfers(query) {
    const master = rawOf(query.get('jetton_master'));
    const found = [];
    for (const tx of this.seen([...this.network.byHash.values()])) {
      if (tx.in_msg?.opcode !== '0x0f8a7ea5') continue;
      const data = await this.network.getMethod(rawOf(tx.account), 'get_wallet_data', []);
      if (data.exit !== 0 || data.stack[2].cell.beginParse().loadAddress().toRawString() !== master) continue;
      const body = Cell.fromBase64(tx.in_msg.message_content.body).beginParse().skip(32);
      const [query_id, amount, destination] = [body.loadUintBig(64), body.loadCoins(), body.loadAddress()];
      found.push({
        query_id: String(query_id), source: tx.in_msg.source, destination: destination.toRawString().toUpperCase(), amount: String(amount),
        source_wallet: tx.account, jetton_master: master.toUpperCase(), transaction_hash: tx.hash, transaction_lt: tx.lt, transaction_now: tx.now,
        transaction_aborted: tx.description.aborted, trace_id: tx.trace_id,
      });
    }
    return { jetton_transfers: page(found, query, (one) => BigInt(one.transaction_lt)), address_book: {}, metadata: {} };
  }

  async jettonMasters(query) {
    const master = rawOf(query.get('address'));
    const data = await this.network.getMethod(master, 'get_jetton_data', []);
    if (data.exit !== 0) return { jetton_masters: [] };
    const state = this.network.get(master).storage.state.state;
    return {
      jetton_masters: [{
        address: master.toUpperCase(), total_supply: String(data.stack[0].value), mintable: true, admin_address: null, last_transaction_lt: '0',
        jetton_wallet_code_hash: data.stack[4].cell.hash().toString('base64'), code_hash: state.code.hash().toString('base64'), data_hash: ZERO_HASH,
        jetton_content: this.network.contents.get(master) ?? {},
      }],
      address_book: {}, metadata: {},
    };
  }

  traces(query) {
    const root = this.network.byMessage.get(hashOf(query.get('msg_hash') ?? ''));
    if (!root || !this.seen([root]).length) return { traces: [] };
    const all = [...this.network.byHash.values()].filter((tx) => tx.trace_id === root.trace_id);
    const seen = this.seen(all);
    const waiting = all.length > seen.length || this.network.queue.some((item) => item.trace === root.trace_id);
    return {
      traces: [{
        trace_id: root.trace_id, external_hash: root.in_msg.hash, is_incomplete: waiting, mc_seqno_start: String(seen[0].mc_block_seqno),
        mc_seqno_end: String(seen.at(-1).mc_block_seqno), transactions_order: seen.map((tx) => tx.hash),
        transactions: Object.fromEntries(seen.map((tx) => [tx.hash, tx])),
      }],
      address_book: {}, metadata: {},
    };
  }

  async message({ boc }) {
    let cell;
    try {
      cell = Cell.fromBase64(boc);
      core.loadMessage(cell.beginParse());
    } catch (error) {
      throw new Refused(500, `LITE_SERVER_UNKNOWN: cannot parse external message: ${error.message}`);
    }
    const { result } = await this.network.emulate(cell, this.network.now());
    if (!result.success) {
      const code = result.vmResults ? `\nexitcode=${result.vmResults.vmExitCode}` : '';
      throw new Refused(500, `LITE_SERVER_UNKNOWN: cannot apply external message to current state : ${result.error}${code}`);
    }
    const hash = cell.hash().toString('base64');
    if (!this.network.mempool.some((item) => item.hash === hash)) this.network.mempool.push({ cell, hash });
    return { message_hash: hash, message_hash_norm: normalised(core.loadMessage(cell.beginParse())) };
  }

  async runGetMethod({ address, method, stack }) {
    const given = stack.map(({ type, value }) =>
      type === 'num' ? { type: 'int', value: BigInt(value) } : { type: type === 'slice' ? 'slice' : 'cell', cell: Cell.fromBase64(value) },
    );
    const { exit, stack: left } = await this.network.getMethod(rawOf(address), method, given);
    return { gas_used: 0, exit_code: exit, stack: left.map(tellEntry) };
  }
}

function tellEntry(item) {
  if (item.type === 'int') return { type: 'num', value: item.value < 0n ? `-0x${(-item.value).toString(16)}` : `0x${item.value.toString(16)}` };
  if (item.type === 'null') return { type: 'list', value: [] };
  return { type: item.type === 'builder' ? 'cell' : item.type, value: item.cell.toBoc().toString('base64') };
}

function page(found, query, ltOf) {
  if (query.has('start_lt')) found = found.filter((item) => ltOf(item) >= BigInt(query.get('start_lt')));
  if (query.has('end_lt')) found = found.filter((item) => ltOf(item) <= BigInt(query.get('end_lt')));
  const sorted = query.get('sort') === 'asc' ? [...found] : [...found].reverse();
  return sorted.slice(0, Math.min(Number(query.get('limit') ?? 10), 1000));
}

// ---- what only a test may do

const CONTROL = {
  close: (network) => network.stop(),
  async mine(network, { blocks = 1, hops = 1000 }) {
    for (let i = 0; i < blocks; i++) await network.mine(hops);
    return network.seqno;
  },
  advance: (network, { seconds }) => (network.skew += seconds),
  drop: (network) => network.mempool.splice(0).length,
  identity: (network, { global_id, salt }) => {
    network.globalId = global_id;
    network.salt = salt;
    for (const block of network.blocks) Object.assign(block, { global_id, root_hash: sha256(`root ${block.seqno} ${salt}`) });
  },
  content: (network, { master, content }) => void network.contents.set(rawOf(master), content),
  account: (network, { address }) => {
    const account = network.get(rawOf(address));
    return { balance: String(account ? account.storage.balance.coins : 0n), status: account ? account.storage.state.type : 'nonexist' };
  },
  emulation: (network, { on }) => void (network.emulates = on),
  // Returns a contract's code with some of its instructions written otherwise.
  rewrite(network, { code, edits }) {
    const { runtime, text } = require('ton-assembly');
    let written = text.print(runtime.decompileCell(Cell.fromBase64(code)));
    for (const [before, after] of edits) {
      if (written.split(before).length !== 2) throw new Refused(422, `not once in the code: ${before}`);
      written = written.replace(before, after);
    }
    const parsed = text.parse('rewritten.tasm', written);
    if (parsed.$ === 'ParseFailure') throw new Refused(422, String(parsed.error));
    return runtime.compileCell(parsed.instructions).toBoc().toString('base64');
  },
  // Gives a contract other code, as if its issuer had locked or upgraded it.
  replace(network, { address, code }) {
    const raw = rawOf(address);
    const shard = core.loadShardAccount(Cell.fromBase64(network.shardAccount(raw)).beginParse());
    shard.account.storage.state.state.code = Cell.fromBase64(code);
    network.accounts.set(raw, beginCell().store(core.storeShardAccount(shard)).endCell().toBoc().toString('base64'));
  },
  // Queues an internal message; `init` is [code, data], whose hash is the target when none is named.
  send(network, { source, target, value, bounce = false, bounced = false, body, init }) {
    const state = init && { code: Cell.fromBase64(init[0]), data: Cell.fromBase64(init[1]) };
    const dest = target ? Address.parse(target) : core.contractAddress(0, state);
    const message = {
      info: {
        type: 'internal', ihrDisabled: true, bounce, bounced, src: Address.parse(source), dest, value: { coins: BigInt(value) },
        ihrFee: 0n, forwardFee: 0n, createdLt: network.lt, createdAt: network.now(),
      },
      init: state, body: body ? Cell.fromBase64(body) : Cell.EMPTY,
    };
    network.lt += 1n;
    network.queue.push({ cell: cellOf(message) });
    return dest.toRawString();
  },
};

const PATHS = {
  '/masterchainInfo': 'masterchainInfo', '/blocks': 'blocks', '/transactions': 'transactions', '/transactionsByMessage': 'transactionsByMessage',
  '/accountStates': 'accountStates', '/jetton/wallets': 'jettonWallets', '/jetton/masters': 'jettonMasters', '/jetton/transfers': 'jettonTransfers', '/traces': 'traces',
  '/message': 'message', '/runGetMethod': 'runGetMethod',
};

async function answer(network, request, body) {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/control') {
    const { method, params = {} } = JSON.parse(body);
    return { result: (await CONTROL[method](network, params)) ?? null };
  }
  if (url.pathname === '/api/emulate/v1/emulateTonConnect' && network.emulates) {
    return emulateTonConnect(network, JSON.parse(body), (why) => {
      throw new Refused(500, why);
    });
  }
  const [, lag = '0', version, path] = /^(?:\/lag\/(\d+))?\/api\/(v2|v3)(\/.*)$/.exec(url.pathname) ?? [];
  const indexer = new Indexer(network, Number(lag));
  if (version === 'v2' && path === '/getMasterchainInfo') {
    return { ok: true, result: { init: { workchain: -1, seqno: 0, root_hash: ZERO_STATE, file_hash: ZERO_STATE } } };
  }
  const name = version === 'v3' ? PATHS[path] : undefined;
  if (name === undefined) throw new Refused(404, 'not found');
  return indexer[name](request.method === 'POST' ? JSON.parse(body) : url.searchParams);
}

// Serves one more network, until a test closes it.
function open(executor) {
  const network = new Network(executor);
  let turn = Promise.resolve(); // one question at a time: each sees a whole block or nothing of it
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      turn = turn.then(async () => {
        let status = 200;
        let found;
        try {
          found = await answer(network, request, Buffer.concat(parts).toString());
        } catch (error) {
          status = error.status ?? 500;
          found = { error: error.message };
          if (!error.status) console.error(error);
        }
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(found));
      });
    });
  });
  network.stop = () => {
    server.close();
    setTimeout(() => server.closeAllConnections(), 50); // who asked for it still gets an answer
  };
  server.listen(0, '127.0.0.1', () => console.log(`Listening on 127.0.0.1:${server.address().port}`));
}

async function main() {
  const executor = await Executor.create();
  process.stdin.on('data', (asked) => asked.forEach(() => open(executor)));
  process.stdin.on('end', () => process.exit());
}

main();
